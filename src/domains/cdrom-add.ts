import type { OpContext } from '../core/context.ts'
import { AgentError, errorText } from '../core/errors.ts'
import { attachDevice } from './attach-device.ts'
import { cdromXml } from './disk-xml.ts'
import { bothHalves, onceMore, readHalves, type DomainHalves } from './domain-halves.ts'
import type { RemovalParts } from './device-removal.ts'
import { freePlace } from './free-place.ts'
import { editMetadata, withEntry, withoutEntry } from './metadata-edit.ts'

/**
 * Adds a CD-ROM drive with a medium in it, on SATA as a create does. HOTPLUG_UNSUPPORTED while the VM runs: SATA cannot be plugged in, and in a SCSI drive that was, libvirt (9.0 at least)
 * can never change the medium, because it does not notice that the drive has a tray. Errors: LIBVIRT_*.
 */
export async function addCdrom(
  vmId: string,
  halves: DomainHalves,
  path: string,
  client: Pick<RemovalParts['client'], 'call' | 'ready'>,
  ctx: OpContext,
): Promise<{ targetDev: string; path: string }> {
  const { live, config } = halves
  if (live !== undefined) {
    throw new AgentError(
      'HOTPLUG_UNSUPPORTED',
      `VM ${vmId} has ${config.facts.cdroms.length} CD-ROM drives, and another one cannot be added while it runs; insert the ISO while the VM is off`,
    )
  }
  const { target, unit } = freePlace([config], 'sata')
  const ids = new Set([...config.facts.cdroms, ...config.facts.disks].map((device) => device.id))
  let number = config.facts.cdroms.length
  while (ids.has(`cdrom${number}`)) number++
  const device = { id: `cdrom${number}`, path, bootable: false, role: 'user' as const }
  const add = async () => {
    const now = await readHalves(client, vmId, ctx.signal)
    if (now.config.facts.cdroms.some((drive) => drive.targetDev === target)) return
    const entry = { id: device.id, target, role: device.role }
    await editMetadata(client, vmId, bothHalves(now), (text) => withEntry(text, 'cdroms', entry), ctx.signal)
    const xml = cdromXml({ device, target, bus: 'sata', unit }, undefined)
    await attachDevice(vmId, xml, bothHalves(now), `CD-ROM ${device.id}`, client)
  }
  try {
    await onceMore(client, add)
  } catch (error) {
    const forget = (text: string) => withoutEntry(text, 'cdroms', target)
    await editMetadata(client, vmId, bothHalves(halves), forget, ctx.signal).catch((again: unknown) =>
      ctx.log.warn({ vm: vmId, drive: target, err: errorText(again) }, 'the note of a drive that was not added stays'),
    )
    throw error
  }
  return { targetDev: target, path }
}
