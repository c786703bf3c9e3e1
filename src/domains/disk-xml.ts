import type { CdromDefinition, DiskDefinition, DiskLayer } from './definition.ts'
import { SATA_PORTS, type Placed } from './device-names.ts'
import { el, type XmlNode } from './xml-node.ts'

/** Serial numbers that guests see in /dev/disk/by-id are cut at this length by virtio-blk. */
const SERIAL_LENGTH = 20

/** `<disk device='disk'>` with explicit formats and the whole backing chain, so that libvirt probes nothing. */
export function diskXml(placed: Placed<DiskDefinition>, bootOrder: number | undefined): XmlNode {
  const { device, target, bus } = placed
  const { iopsLimit, bytesPerSecondLimit } = device
  return el('disk', { type: device.type, device: 'disk' }, [
    el('driver', {
      name: 'qemu',
      type: device.format,
      cache: device.driver.cache,
      io: device.driver.io,
      discard: 'unmap',
    }),
    source(device),
    backingStore(device.backing),
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

function source(layer: DiskLayer): XmlNode {
  return el('source', layer.type === 'file' ? { file: layer.path } : { dev: layer.path })
}

// The empty element at the end tells libvirt that the chain ends here, rather than that it should look.
function backingStore(chain: readonly DiskLayer[]): XmlNode {
  const [layer, ...rest] = chain
  if (layer === undefined) return el('backingStore')
  return el('backingStore', { type: layer.type }, [
    el('format', { type: layer.format }),
    source(layer),
    backingStore(rest),
  ])
}

function driveAddress({ bus, unit }: Pick<Placed<unknown>, 'bus' | 'unit'>): XmlNode | undefined {
  if (bus === 'virtio') return undefined
  const place =
    bus === 'sata' ? { controller: Math.floor(unit / SATA_PORTS), unit: unit % SATA_PORTS } : { controller: 0, unit }
  return el('address', { type: 'drive', controller: place.controller, bus: 0, target: 0, unit: place.unit })
}
