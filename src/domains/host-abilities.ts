import { fromLibvirt } from '../libvirt/agent-errors.ts'
import type { DomainType } from './definition.ts'
import type { LibvirtCalls } from './libvirt-domain.ts'
import { readXml, type XmlElement } from './read-xml.ts'

/** What libvirt says that guests of this host can have. */
export interface HostAbilities {
  readonly uefi: boolean
  readonly secureBoot: boolean
  readonly tpm2: boolean
  readonly spice: boolean
  readonly hostModel: boolean
  /** Names of CPU models that run here. */
  readonly cpuModels: readonly string[]
  /** Hyper-V enlightenments of KVM here; undefined when libvirt does not list them. */
  readonly hyperv: readonly string[] | undefined
}

// The first look makes libvirt start QEMU to probe it.
const CAPABILITIES_TIMEOUT_MS = 120_000

/** Asks libvirt (`virConnectGetDomainCapabilities`) what a q35 guest can have. Errors: LIBVIRT_*. */
export async function readHostAbilities(
  libvirt: LibvirtCalls,
  guest: { readonly type: DomainType; readonly emulator?: string | undefined },
  signal: AbortSignal,
): Promise<HostAbilities> {
  const args = { emulatorbin: guest.emulator ?? null, arch: 'x86_64', machine: 'q35', virttype: guest.type, flags: 0 }
  try {
    const options = { timeoutMs: CAPABILITIES_TIMEOUT_MS, signal }
    const { capabilities } = await libvirt.call('remote:CONNECT_GET_DOMAIN_CAPABILITIES', args, options)
    return parseAbilities(capabilities)
  } catch (error) {
    throw fromLibvirt(error, 'capabilities of guests')
  }
}

/** Reads a `<domainCapabilities>` document (https://libvirt.org/formatdomaincaps.html). */
export function parseAbilities(xml: string): HostAbilities {
  const all = readXml(xml)
  const uefi = values(all.first('os'), 'firmware').includes('efi')
  const devices = all.first('devices')
  const tpm = devices?.first('tpm')
  const modes = all.first('cpu')?.all('mode') ?? []
  const mode = (name: string) => modes.find((one) => one.attribute('name') === name)
  const hyperv = all.first('features', 'hyperv')
  const models = mode('custom')?.all('model') ?? []
  return {
    uefi,
    secureBoot: uefi && values(all.first('os', 'loader'), 'secure').includes('yes'),
    tpm2: values(tpm, 'backendModel').includes('emulator') && !lacks(values(tpm, 'backendVersion'), '2.0'),
    spice: values(devices?.first('graphics'), 'type').includes('spice'),
    hostModel: mode('host-model')?.attribute('supported') === 'yes',
    cpuModels: models.filter((model) => model.attribute('usable') === 'yes').map((model) => model.text),
    hyperv: hyperv?.attribute('supported') === 'yes' ? values(hyperv, 'features') : undefined,
  }
}

function values(element: XmlElement | undefined, name: string): string[] {
  const list = element?.all('enum').find((one) => one.attribute('name') === name)
  return list?.all('value').map((value) => value.text) ?? []
}

// Libvirts before 8.7 list no versions.
function lacks(list: readonly string[], value: string): boolean {
  return list.length > 0 && !list.includes(value)
}
