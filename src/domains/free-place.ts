import type { DiskBus } from '../core/model.ts'
import { deviceName, SATA_PORTS } from './device-names.ts'
import { mediaXml, type DomainHalf } from './domain-halves.ts'
import type { XmlElement } from './read-xml.ts'

/** Where a disk that is added to a domain goes. */
export interface DiskPlace {
  readonly target: string
  /** Place on SCSI and SATA; of no meaning on virtio. */
  readonly unit: number
}

/** The first name and place on a bus that no device of any half has: a name that is free now may be taken at the next start. Pure. */
export function freePlace(halves: readonly DomainHalf[], bus: DiskBus): DiskPlace {
  const media = halves.flatMap(mediaXml)
  const names = new Set(media.map((device) => device.first('target')?.attribute('dev') ?? ''))
  const units = new Set(media.filter((device) => busOf(device) === bus).map((device) => unitOf(device, bus)))
  const prefix = bus === 'virtio' ? 'vd' : 'sd'
  return {
    target: deviceName(
      prefix,
      firstFree((index) => names.has(deviceName(prefix, index))),
    ),
    unit: firstFree((unit) => units.has(unit)),
  }
}

function firstFree(isTaken: (index: number) => boolean): number {
  let index = 0
  while (isTaken(index)) index++
  return index
}

function busOf(device: XmlElement): string {
  return device.first('target')?.attribute('bus') ?? ''
}

function unitOf(device: XmlElement, bus: DiskBus): number {
  const address = device.first('address')
  const unit = Number(address?.attribute('unit') ?? -1)
  return bus === 'sata' ? Number(address?.attribute('controller') ?? 0) * SATA_PORTS + unit : unit
}
