import type { DiskBus } from '../core/model.ts'
import type { CdromDefinition, DiskDefinition, DomainDefinition } from './definition.ts'

/** `vda`, … `vdz`, `vdaa`: the name of the n-th device (from 0) with the given prefix, as the kernel and libvirt count. */
export function deviceName(prefix: string, index: number): string {
  let letters = ''
  for (let rest = index; rest >= 0; rest = Math.floor(rest / 26) - 1) {
    letters = String.fromCharCode(97 + (rest % 26)) + letters
  }
  return prefix + letters
}

/** A device with its target name, its bus and, on SCSI and SATA, its place there. */
export interface Placed<T> {
  readonly device: T
  readonly target: string
  readonly bus: DiskBus
  readonly unit: number
}

export interface DeviceNames {
  readonly disks: readonly Placed<DiskDefinition>[]
  readonly cdroms: readonly Placed<CdromDefinition>[]
  readonly usesScsi: boolean
  /** SATA controllers needed; each has six ports. */
  readonly sataControllers: number
}

/** Ports of one AHCI controller. */
export const SATA_PORTS = 6

/**
 * Names and places all disks and CD-ROMs of a VM. SCSI disks, SATA disks and CD-ROMs share the prefix `sd`: disks take the first names, and the n-th CD-ROM is
 * called after the number of all disks plus n, which is how the control plane names it too. No two devices ever get the same name.
 */
export function nameDevices(definition: Pick<DomainDefinition, 'disks' | 'cdroms' | 'guest'>): DeviceNames {
  const { disks, cdroms } = definition
  const seed = seedBus(definition)
  let virtio = 0
  let sd = 0
  const used = { virtio: 0, scsi: 0, sata: 0 } satisfies Record<DiskBus, number>
  const placedDisks = disks.map((device) => ({
    device,
    target: device.bus === 'virtio' ? deviceName('vd', virtio++) : deviceName('sd', sd++),
    bus: device.bus,
    unit: used[device.bus]++,
  }))
  const placedCdroms = cdroms.map((device, index) => {
    // SATA is the one bus every guest boots an installer from.
    const bus = device.role === 'seed' ? seed : 'sata'
    return { device, target: deviceName('sd', disks.length + index), bus, unit: used[bus]++ }
  })
  return {
    disks: placedDisks,
    cdroms: placedCdroms,
    usesScsi: used.scsi > 0,
    sataControllers: Math.ceil(used.sata / SATA_PORTS),
  }
}

// Whatever boots from virtio has virtio-scsi as well; a guest on SATA disks alone may have no virtio at all.
function seedBus({ disks, guest }: Pick<DomainDefinition, 'disks' | 'guest'>): 'scsi' | 'sata' {
  return disks.some(({ bus }) => bus !== 'sata') ? guest.seedBus : 'sata'
}
