import type { BootDevice, VmSpec } from '../core/model.ts'

const DEFAULT_ORDER: readonly BootDevice[] = ['disk', 'cdrom', 'network']

/**
 * Keys of the devices to boot from, first one first: ids of disks and CD-ROMs, `nic:<id>` for NICs. Without an order in the request: bootable CD-ROMs (an installer), then disks, other CD-ROMs with a medium, NICs
 * (contract 1.4). Disks keep their order: the control plane's `bootable` is false for its first disk. The seed is never booted from.
 */
export function bootOrderOf(spec: Pick<VmSpec, 'bootOrder' | 'disks' | 'cdroms' | 'nics'>): string[] {
  const media = spec.cdroms.filter((cdrom) => cdrom.isoPath !== '')
  const byKind: Readonly<Record<BootDevice, readonly string[]>> = {
    disk: spec.disks.map((disk) => disk.id),
    cdrom: media.map((cdrom) => cdrom.id),
    network: spec.nics.map((nic) => `nic:${nic.id}`),
  }
  const installers = spec.bootOrder.length === 0 ? media.filter((cdrom) => cdrom.bootable).map((cdrom) => cdrom.id) : []
  const order = spec.bootOrder.length === 0 ? DEFAULT_ORDER : spec.bootOrder
  return [...new Set([...installers, ...order.flatMap((kind) => byKind[kind])])]
}
