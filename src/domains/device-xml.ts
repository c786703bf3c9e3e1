import type { DomainDefinition } from './definition.ts'
import { nameDevices } from './device-names.ts'
import { cdromXml, diskXml } from './disk-xml.ts'
import { nicXml } from './nic-xml.ts'
import { el, type XmlNode } from '../libvirt/xml-node.ts'

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
  const threads = ioThreadsOf(definition)
  const panicModel = definition.guest.panic
  const bootOrderOf = (id: string) => {
    const index = definition.bootOrder.indexOf(id)
    return index === -1 ? undefined : index + 1
  }
  return el('devices', {}, [
    definition.emulator !== undefined && el('emulator', {}, definition.emulator),
    ...names.disks.map((disk) => diskXml(disk, bootOrderOf(disk.device.id), threads.get(disk.device.id))),
    ...names.cdroms.map((cdrom) => cdromXml(cdrom, bootOrderOf(cdrom.device.id))),
    ...controllersXml(definition, names.sataControllers, names.usesScsi),
    ...definition.nics.map((nic) => nicXml(nic, bootOrderOf(`nic:${nic.id}`))),
    ...consoleXml(definition.consoleLogPath),
    el('channel', { type: 'unix' }, [el('target', { type: 'virtio', name: GUEST_AGENT_CHANNEL })]),
    el('input', { type: 'tablet', bus: 'usb' }),
    ...displayXml(definition),
    // Deflates before the guest runs out of memory. What the guest does not use goes back to the host; huge pages stay where they are.
    el('memballoon', { model: 'virtio', autodeflate: 'on', freePageReporting: definition.hugepages ? 'off' : 'on' }, [
      el('stats', { period: BALLOON_PERIOD_S }),
    ]),
    definition.tpm &&
      // Windows looks for the newer interface with UEFI; only the older one is known to every BIOS.
      el('tpm', { model: definition.firmware === 'uefi' ? 'tpm-crb' : 'tpm-tis' }, [
        el('backend', { type: 'emulator', version: '2.0' }),
      ]),
    definition.watchdog !== undefined && el('watchdog', { model: 'i6300esb', action: definition.watchdog }),
    panicModel !== undefined &&
      (panicModel === 'isa' || definition.type === 'kvm') &&
      el('panic', { model: panicModel }),
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

// Loopback only: who may look comes through a relay or a ticket of the agent.
function displayXml({ console, vncPassword, guest }: DomainDefinition): XmlNode[] {
  const graphics = (type: 'vnc' | 'spice', port: number, passwd?: string) =>
    el('graphics', { type, port: port || -1, autoport: port === 0 ? 'yes' : 'no', listen: '127.0.0.1', passwd }, [
      el('listen', { type: 'address', address: '127.0.0.1' }),
    ])
  return [
    graphics('vnc', console.vncPort, vncPassword),
    ...(console.spice
      ? [
          graphics('spice', console.spicePort),
          el('channel', { type: 'spicevmc' }, [el('target', { type: 'virtio', name: 'com.redhat.spice.0' })]),
        ]
      : []),
    el('video', {}, [el('model', { type: guest.video.model, vram: guest.video.vramKib, heads: 1, primary: 'yes' })]),
  ]
}

/** More threads than this bring a guest nothing that its disks could notice. */
const MAX_IO_THREADS = 4

/** The thread (from 1) of each virtio disk that has one, by the disk's id. */
export function ioThreadsOf({ disks }: Pick<DomainDefinition, 'disks'>): ReadonlyMap<string, number> {
  const served = disks.filter(({ bus, driver }) => bus === 'virtio' && driver.iothread === true)
  return new Map(served.map(({ id }, index) => [id, (index % MAX_IO_THREADS) + 1]))
}
