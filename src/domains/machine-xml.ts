import { KIB, MIB } from '../core/bytes.ts'
import type { DomainDefinition } from './definition.ts'
import { el, type XmlNode } from './xml-node.ts'

/** Firmware, CPU, memory, clock and life cycle: everything of a domain that is not a device. */
export function machineXml(definition: DomainDefinition): XmlNode[] {
  const kib = Math.ceil(definition.memoryBytes / KIB)
  const nodes = [
    el('memory', { unit: 'KiB' }, String(kib)),
    el('currentMemory', { unit: 'KiB' }, String(kib)),
    definition.hugepages && el('memoryBacking', {}, [el('hugepages')]),
    el('vcpu', { placement: 'static' }, String(vcpuCount(definition))),
    osXml(definition),
    featuresXml(definition),
    cpuXml(definition),
    clockXml(definition),
    el('on_poweroff', {}, 'destroy'),
    el('on_reboot', {}, 'restart'),
    el('on_crash', {}, 'destroy'),
    el('pm', {}, [el('suspend-to-mem', { enabled: 'no' }), el('suspend-to-disk', { enabled: 'no' })]),
  ]
  return nodes.filter((node) => node !== false)
}

function vcpuCount({ topology }: DomainDefinition): number {
  return topology.sockets * topology.cores * topology.threads
}

function osXml({ firmware }: DomainDefinition): XmlNode {
  const type = el('type', { arch: 'x86_64', machine: 'q35' }, 'hvm')
  if (firmware === 'bios') return el('os', {}, [type])
  // Images made for clouds are often unsigned: without this libvirt may choose the firmware that refuses them.
  return el('os', { firmware: 'efi' }, [
    type,
    el('firmware', {}, [el('feature', { enabled: 'no', name: 'secure-boot' })]),
  ])
}

function featuresXml(definition: DomainDefinition): XmlNode {
  const hyperv = definition.type === 'kvm' && definition.guestFamily === 'windows'
  return el('features', {}, [
    el('acpi'),
    el('apic'),
    hyperv &&
      el('hyperv', { mode: 'custom' }, [
        el('relaxed', { state: 'on' }),
        el('vapic', { state: 'on' }),
        el('spinlocks', { state: 'on', retries: 8191 }),
        el('vpindex', { state: 'on' }),
        el('synic', { state: 'on' }),
        el('stimer', { state: 'on' }),
        el('reset', { state: 'on' }),
      ]),
    el('vmport', { state: 'off' }),
    definition.type === 'qemu' &&
      definition.tbCacheBytes > 0 &&
      el('tcg', {}, [el('tb-cache', { unit: 'MiB' }, String(Math.ceil(definition.tbCacheBytes / MIB)))]),
  ])
}

function cpuXml({ type, topology }: DomainDefinition): XmlNode {
  const shape = el('topology', { sockets: topology.sockets, dies: 1, cores: topology.cores, threads: topology.threads })
  // Emulation has no host CPU to pass through; `maximum` is all that the emulator can do.
  return type === 'kvm'
    ? el('cpu', { mode: 'host-passthrough', check: 'none', migratable: 'on' }, [shape])
    : el('cpu', { mode: 'maximum', check: 'none' }, [shape])
}

function clockXml({ type, guestFamily }: DomainDefinition): XmlNode {
  const windows = guestFamily === 'windows'
  return el('clock', { offset: windows ? 'localtime' : 'utc' }, [
    el('timer', { name: 'rtc', tickpolicy: 'catchup' }),
    el('timer', { name: 'pit', tickpolicy: 'delay' }),
    el('timer', { name: 'hpet', present: 'no' }),
    type === 'kvm' && windows && el('timer', { name: 'hypervclock', present: 'yes' }),
  ])
}
