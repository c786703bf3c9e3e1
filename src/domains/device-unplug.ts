import type { OpContext } from '../core/context.ts'
import { errorText } from '../core/errors.ts'
import { VIR_DOMAIN_AFFECT, VIR_ERR } from '../libvirt/constants.ts'
import { isLibvirtError } from '../libvirt/errors.ts'
import { writeXml } from '../libvirt/write-xml.ts'
import { removeLive, type RemovalParts } from './device-removal.ts'
import { bothHalves, changeHalves, mediaXml, onceMore, readHalves, type DomainHalf } from './domain-halves.ts'
import type { DomainDisk, DomainFacts, DomainNic } from './domain-info.ts'
import { domainRef } from './libvirt-domain.ts'
import { vmError } from './libvirt-errors.ts'
import { editMetadata, withoutEntry, type DeviceList } from './metadata-edit.ts'
import { toNode, type XmlElement } from './read-xml.ts'

/** A device that can be taken out of a VM. */
export interface PluggedDevice {
  /** For people: `disk data (vdb)`. */
  readonly what: string
  /** Where our metadata have it, and under which key. */
  readonly list: DeviceList
  readonly key: string
  readonly isIn: (facts: DomainFacts) => boolean
  /** True for a disk that snapshots in files of their own stand for. */
  readonly isLayered: (facts: DomainFacts) => boolean
  /** Its element, if a half has it. */
  readonly elementIn: (half: DomainHalf) => XmlElement | undefined
}

const DEVICE_TIMEOUT_MS = 60_000

/** A disk as what can be taken out. */
export function pluggedDisk({ id, targetDev }: DomainDisk): PluggedDevice {
  return {
    what: `disk ${id} (${targetDev})`,
    list: 'disks',
    key: targetDev,
    isIn: ({ disks }) => disks.some((other) => other.targetDev === targetDev),
    isLayered: ({ layers }) => layers.some(({ disk }) => disk === id),
    elementIn: (half) => diskElement(half, targetDev),
  }
}

/** A NIC as what can be taken out. */
export function pluggedNic({ id, macAddress }: DomainNic): PluggedDevice {
  return {
    what: id === macAddress ? `NIC ${id}` : `NIC ${id} (${macAddress})`,
    list: 'nics',
    key: macAddress,
    isIn: ({ nics }) => nics.some((other) => other.macAddress === macAddress),
    isLayered: () => false,
    elementIn: (half) => nicElement(half, macAddress),
  }
}

/** The element of the disk with a target name, if a half has it. */
export function diskElement(half: DomainHalf, targetDev: string): XmlElement | undefined {
  return mediaXml(half).find((disk) => disk.first('target')?.attribute('dev') === targetDev)
}

/** The element of the NIC with a MAC address (in lower case), if a half has it. */
export function nicElement({ xml }: DomainHalf, macAddress: string): XmlElement | undefined {
  const nics = xml.first('devices')?.all('interface') ?? []
  return nics.find((nic) => nic.first('mac')?.attribute('address')?.toLowerCase() === macAddress)
}

/**
 * Takes a device out of a VM: first of the running guest, when that has let go of the definition, then of our metadata. The guest decides whether the first step happens at all, so that nothing is done
 * when it does not; when the second one fails, the device goes back into the guest. Data stay. Success when it is in neither. With `halves` it goes out of those alone, and our metadata keep it unless it is
 * to go out of both. Errors: VM_NOT_FOUND, DETACH_*, LIBVIRT_*.
 */
export async function unplugDevice(
  vmId: string,
  device: PluggedDevice,
  parts: RemovalParts,
  ctx: OpContext,
  halves: { readonly live: boolean; readonly config: boolean } = { live: true, config: true },
): Promise<void> {
  const { client, inventory } = parts
  const { what, list, key, isIn, elementIn } = device
  const before = await readHalves(client, vmId, ctx.signal)
  const live = before.live === undefined || !halves.live ? undefined : elementIn(before.live)
  if (live !== undefined) await removeLive({ vmId, what, xml: live, isThere: isIn }, parts, ctx)
  const config = halves.config ? elementIn(before.config) : undefined
  if (config !== undefined) {
    try {
      const isDone = (now: { config: DomainHalf }) => !isIn(now.config.facts)
      await changeHalves(client, vmId, () => detach(vmId, config, client), isDone)
    } catch (error) {
      if (live !== undefined) await putBack(vmId, what, live, client, ctx)
      throw vmError(error, vmId)
    }
  }
  if (halves.live && halves.config) {
    await onceMore(client, async () => {
      const now = await readHalves(client, vmId, ctx.signal)
      await editMetadata(client, vmId, bothHalves(now), (text) => withoutEntry(text, list, key), ctx.signal)
    })
  }
  await inventory.settle(vmId)
}

async function detach(vmId: string, xml: XmlElement, client: RemovalParts['client']): Promise<void> {
  const args = { dom: domainRef(vmId), xml: writeXml(toNode(xml)), flags: VIR_DOMAIN_AFFECT.CONFIG }
  try {
    await client.call('remote:DOMAIN_DETACH_DEVICE_FLAGS', args, { timeoutMs: DEVICE_TIMEOUT_MS })
  } catch (error) {
    if (!isLibvirtError(error, VIR_ERR.DEVICE_MISSING)) throw error
  }
}

async function putBack(
  vmId: string,
  what: string,
  xml: XmlElement,
  client: RemovalParts['client'],
  ctx: OpContext,
): Promise<void> {
  const args = { dom: domainRef(vmId), xml: writeXml(toNode(xml)), flags: VIR_DOMAIN_AFFECT.LIVE }
  try {
    await client.call('remote:DOMAIN_ATTACH_DEVICE_FLAGS', args, { timeoutMs: DEVICE_TIMEOUT_MS })
  } catch (error) {
    ctx.log.error(
      { vm: vmId, device: what, err: errorText(error) },
      'a device that could not be detached is out of the running guest',
    )
  }
}
