import type { DomainDefinition } from './definition.ts'
import { nameDevices } from './device-names.ts'
import { cdromXml, diskXml } from './disk-xml.ts'
import { nicXml } from './nic-xml.ts'
import { el, type XmlNode } from './xml-node.ts'

/** Name of the virtio-serial port of the QEMU guest agent (fixed by the agent). */
export const GUEST_AGENT_CHANNEL = 'org.qemu.guest_agent.0'

/** PCIe slots kept free for disks and NICs that are plugged in later. */
const SPARE_PCIE_PORTS = 6
/** virtio-serial, balloon, RNG, USB: one port each. */
const FIXED_PCIE_DEVICES = 4

/** How often the guest's balloon driver reports memory statistics. */
const BALLOON_PERIOD_S = 10

/** `<devices>` of a domain. */
export function devicesXml(definition: DomainDefinition): XmlNode {
  const names = nameDevices(definition)
  const bootOrderOf = (id: string) => {
    const index = definition.bootOrder.indexOf(id)
    return index === -1 ? undefined : index + 1
  }
  return el('devices', {}, [
    definition.emulator !== undefined && el('emulator', {}, definition.emulator),
    ...names.disks.map((disk) => diskXml(disk, bootOrderOf(disk.device.id))),
    ...names.cdroms.map((cdrom) => cdromXml(cdrom, bootOrderOf(cdrom.device.id))),
    ...controllersXml(definition, names.sataControllers, names.usesScsi),
    ...definition.nics.map((nic) => nicXml(nic, bootOrderOf(`nic:${nic.id}`))),
    ...consoleXml(definition.consoleLogPath),
    el('channel', { type: 'unix' }, [el('target', { type: 'virtio', name: GUEST_AGENT_CHANNEL })]),
    el('input', { type: 'tablet', bus: 'usb' }),
    el('graphics', { type: 'vnc', port: -1, autoport: 'yes', listen: '127.0.0.1' }, [
      el('listen', { type: 'address', address: '127.0.0.1' }),
    ]),
    el('video', {}, [el('model', { type: 'vga', vram: 16384, heads: 1, primary: 'yes' })]),
    el('memballoon', { model: 'virtio', freePageReporting: 'on' }, [el('stats', { period: BALLOON_PERIOD_S })]),
    el('rng', { model: 'virtio' }, [el('backend', { model: 'random' }, '/dev/urandom')]),
  ])
}

function controllersXml(definition: DomainDefinition, sata: number, scsi: boolean): XmlNode[] {
  const virtioDisks = definition.disks.filter((disk) => disk.bus === 'virtio').length
  const ports = virtioDisks + definition.nics.length + (scsi ? 1 : 0) + FIXED_PCIE_DEVICES + SPARE_PCIE_PORTS
  return [
    el('controller', { type: 'pci', model: 'pcie-root' }),
    ...Array.from({ length: ports }, () => el('controller', { type: 'pci', model: 'pcie-root-port' })),
    ...Array.from({ length: sata }, (_, index) => el('controller', { type: 'sata', index })),
    ...(scsi ? [el('controller', { type: 'scsi', index: 0, model: 'virtio-scsi' })] : []),
    el('controller', { type: 'virtio-serial', index: 0 }),
    el('controller', { type: 'usb', index: 0, model: 'qemu-xhci', ports: 15 }),
  ]
}

function consoleXml(logPath: string): XmlNode[] {
  return [
    el('serial', { type: 'pty' }, [
      el('log', { file: logPath, append: 'on' }),
      el('target', { type: 'isa-serial', port: 0 }),
    ]),
    el('console', { type: 'pty' }, [el('target', { type: 'serial', port: 0 })]),
  ]
}
