import { KIB, MIB } from '../core/bytes.ts'
import type { DomainDefinition } from './definition.ts'
import { ioThreadsOf } from './device-xml.ts'
import type { GuestTimer } from './guest-profiles.ts'
import { namedModel } from './host-needs.ts'
import { el, type XmlNode } from '../libvirt/xml-node.ts'

/** How often a vCPU looks before it tells the host that it waits for another one; what Microsoft recommends. */
const SPINS = 8191

/** Firmware, CPU, memory, clock and life cycle: everything of a domain that is not a device. */
export function machineXml(definition: DomainDefinition): XmlNode[] {
  const kib = Math.ceil(definition.memoryBytes / KIB)
  const threads = Math.max(0, ...ioThreadsOf(definition).values())
  const nodes = [
    el('memory', { unit: 'KiB' }, String(kib)),
    el('currentMemory', { unit: 'KiB' }, String(kib)),
    definition.hugepages && el('memoryBacking', {}, [el('hugepages')]),
    el('vcpu', { placement: 'static' }, String(vcpuCount(definition))),
    threads > 0 && el('iothreads', {}, String(threads)),
    osXml(definition),
    featuresXml(definition),
    cpuXml(definition),
    clockXml(definition),
    el('on_poweroff', {}, 'destroy'),
    el('on_reboot', {}, 'restart'),
    el('on_crash', {}, definition.onCrash),
    el('pm', {}, [el('suspend-to-mem', { enabled: 'no' }), el('suspend-to-disk', { enabled: 'no' })]),
  ]
  return nodes.filter((node) => node !== false)
}

function vcpuCount({ topology }: DomainDefinition): number {
  return topology.sockets * topology.cores * topology.threads
}

function osXml({ firmware, secureBoot }: DomainDefinition): XmlNode {
  const type = el('type', { arch: 'x86_64', machine: 'q35' }, 'hvm')
  if (firmware === 'bios') return el('os', {}, [type])
  // Always said: libvirt may otherwise choose the firmware that refuses what is not signed. Without the keys of everybody it would refuse nothing.
  const features = secureBoot ? ['secure-boot', 'enrolled-keys'] : ['secure-boot']
  return el('os', { firmware: 'efi' }, [
    type,
    el(
      'firmware',
      {},
      features.map((name) => el('feature', { enabled: secureBoot ? 'yes' : 'no', name })),
    ),
  ])
}

function featuresXml(definition: DomainDefinition): XmlNode {
  const { hyperv, secureBoot } = definition
  return el('features', {}, [
    el('acpi'),
    el('apic'),
    hyperv.length > 0 &&
      el(
        'hyperv',
        { mode: 'custom' },
        hyperv.map((name) => el(name, { state: 'on', ...(name === 'spinlocks' ? { retries: SPINS } : {}) })),
      ),
    // What keeps the variables of Secure Boot from the guest's kernel.
    secureBoot && el('smm', { state: 'on' }),
    el('vmport', { state: 'off' }),
    definition.type === 'qemu' &&
      definition.tbCacheBytes > 0 &&
      el('tcg', {}, [el('tb-cache', { unit: 'MiB' }, String(Math.ceil(definition.tbCacheBytes / MIB)))]),
  ])
}

function cpuXml({ type, topology, cpuModel }: DomainDefinition): XmlNode {
  const shape = el('topology', { sockets: topology.sockets, dies: 1, cores: topology.cores, threads: topology.threads })
  const name = namedModel(cpuModel)
  if (name !== undefined) {
    return el('cpu', { mode: 'custom', match: 'exact', check: 'partial' }, [
      el('model', { fallback: 'forbid' }, name),
      shape,
    ])
  }
  // Emulation has no host CPU to pass through; `maximum` is all that the emulator can do.
  const mode = type === 'qemu' && cpuModel !== 'host-model' ? 'maximum' : (cpuModel ?? 'host-passthrough')
  if (mode === 'host-model') return el('cpu', { mode, check: 'partial' }, [shape])
  return el('cpu', { mode, check: 'none', ...(mode === 'host-passthrough' ? { migratable: 'on' } : {}) }, [shape])
}

function clockXml({ type, guest }: DomainDefinition): XmlNode {
  const timers = guest.clock.timers.filter((timer) => timer.kvm === undefined || type === 'kvm')
  return el('clock', { offset: guest.clock.offset }, timers.map(timerXml))
}

function timerXml({ name, tickPolicy, present }: GuestTimer): XmlNode {
  return el('timer', {
    name,
    tickpolicy: tickPolicy,
    present: present === undefined ? undefined : present ? 'yes' : 'no',
  })
}
