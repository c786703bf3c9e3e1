import { VIR_DOMAIN_AFFECT } from '../libvirt/constants.ts'
import { el } from '../libvirt/xml-node.ts'
import { attachDevice } from './attach-device.ts'
import type { DomainHalf, DomainHalves } from './domain-halves.ts'
import type { LibvirtCalls } from './libvirt-domain.ts'

/** Adds a virtio-scsi controller to the halves of a domain that have no SCSI one: libvirt would add one by itself, of a model that few guests have a driver for. Errors as `attachDevice`. */
export async function ensureScsi(vmId: string, { live, config }: DomainHalves, libvirt: LibvirtCalls): Promise<void> {
  const lacks = (half: DomainHalf | undefined) =>
    half?.xml
      .first('devices')
      ?.all('controller')
      .every((controller) => controller.attribute('type') !== 'scsi') ?? false
  const flags = (lacks(live) ? VIR_DOMAIN_AFFECT.LIVE : 0) | (lacks(config) ? VIR_DOMAIN_AFFECT.CONFIG : 0)
  if (flags === 0) return
  const xml = el('controller', { type: 'scsi', index: 0, model: 'virtio-scsi' })
  await attachDevice(vmId, xml, flags, 'a SCSI controller', libvirt)
}
