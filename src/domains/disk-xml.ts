import type { DiskSource } from '../core/model.ts'
import type { CdromDefinition, DiskDefinition, DiskIo } from './definition.ts'
import { SATA_PORTS, type Placed } from './device-names.ts'
import { el, type XmlNode } from '../libvirt/xml-node.ts'

/** Serial numbers that guests see in /dev/disk/by-id are cut at this length by virtio-blk. */
const SERIAL_LENGTH = 20

/** `<disk device='disk'>` with explicit formats and the whole backing chain, so that libvirt probes nothing. */
export function diskXml(placed: Placed<DiskDefinition>, bootOrder: number | undefined, iothread?: number): XmlNode {
  const { device, target, bus } = placed
  const { iopsLimit, bytesPerSecondLimit } = device
  return el('disk', { type: device.source.type, device: 'disk' }, [
    driverXml(device.source, device.driver, iothread),
    sourceXml(device.source),
    backingStoreXml(device.backing),
    el('target', { dev: target, bus }),
    device.readonly && el('readonly'),
    (iopsLimit > 0 || bytesPerSecondLimit > 0) &&
      el('iotune', {}, [
        bytesPerSecondLimit > 0 && el('total_bytes_sec', {}, String(bytesPerSecondLimit)),
        iopsLimit > 0 && el('total_iops_sec', {}, String(iopsLimit)),
      ]),
    el('serial', {}, device.id.slice(0, SERIAL_LENGTH)),
    bootOrder !== undefined && el('boot', { order: bootOrder }),
    driveAddress(placed),
  ])
}

/** `<disk device='cdrom'>`; which bus it is on is decided in device-names.ts. */
export function cdromXml(placed: Placed<CdromDefinition>, bootOrder: number | undefined): XmlNode {
  const { device, target, bus } = placed
  return el('disk', { type: 'file', device: 'cdrom' }, [
    el('driver', { name: 'qemu', type: 'raw' }),
    device.path !== '' && el('source', { file: device.path }),
    device.path !== '' && el('backingStore'),
    el('target', { dev: target, bus }),
    el('readonly'),
    bootOrder !== undefined && el('boot', { order: bootOrder }),
    driveAddress(placed),
  ])
}

/**
 * `<driver>` of a disk. `discard=unmap`: what the guest trims goes back to the pool. No `detect_zeroes`: it looks at every byte that is written, and thin logical volumes
 * have no cheaper way to write zeros anyway.
 */
export function driverXml({ format }: DiskSource, { cache, io }: DiskIo, iothread?: number): XmlNode {
  return el('driver', {
    name: 'qemu',
    type: format,
    cache,
    io,
    discard: 'unmap',
    iothread,
  })
}

/** `<source>` of a disk or of a layer below it. Names no secret: libvirt has the key of a Ceph user under its UUID. */
export function sourceXml(source: DiskSource): XmlNode {
  switch (source.type) {
    case 'file':
      return el('source', { file: source.path })
    case 'block':
      return el('source', { dev: source.device })
    case 'network':
      return el('source', { protocol: source.protocol, name: source.name }, [
        ...source.monitors.map(({ host, port }) => el('host', { name: host, port })),
        el('auth', { username: source.user }, [el('secret', { type: 'ceph', uuid: source.secretUuid })]),
      ])
  }
}

// The empty element at the end tells libvirt that the chain ends here, rather than that it should look.
/** `<backingStore>` of a disk: what is below its active layer, nearest first. */
export function backingStoreXml(chain: readonly DiskSource[]): XmlNode {
  const [layer, ...rest] = chain
  if (layer === undefined) return el('backingStore')
  return el('backingStore', { type: layer.type }, [
    el('format', { type: layer.format }),
    sourceXml(layer),
    backingStoreXml(rest),
  ])
}

function driveAddress({ bus, unit }: Pick<Placed<unknown>, 'bus' | 'unit'>): XmlNode | undefined {
  if (bus === 'virtio') return undefined
  const place =
    bus === 'sata' ? { controller: Math.floor(unit / SATA_PORTS), unit: unit % SATA_PORTS } : { controller: 0, unit }
  return el('address', { type: 'drive', controller: place.controller, bus: 0, target: 0, unit: place.unit })
}
