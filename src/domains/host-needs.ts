import { AgentError } from '../core/errors.ts'
import type { VmSpec } from '../core/model.ts'
import { quote } from '../core/ids.ts'
import type { DomainType } from './definition.ts'
import type { DomainDeps } from './deps.ts'
import { guestProfile } from './guest-profiles.ts'
import { readHostAbilities, type HostAbilities } from './host-abilities.ts'
import { readHugepages, requireHugepages } from './hugepages.ts'

/** One thing that not every host can give: whether the request wants it, whether the host has it, and what to do about it. */
interface Need {
  readonly wanted: (spec: VmSpec, type: DomainType) => boolean
  readonly given: (host: HostAbilities, spec: VmSpec) => boolean
  readonly lacks: (spec: VmSpec) => string
}

const NEEDS: readonly Need[] = [
  {
    wanted: ({ firmware }) => firmware === 'uefi',
    given: ({ uefi }) => uefi,
    lacks: () => 'it has no UEFI firmware for guests; install the package ovmf',
  },
  {
    wanted: ({ secureBoot }) => secureBoot === true,
    given: ({ secureBoot }) => secureBoot,
    lacks: () => 'it has no UEFI firmware with Secure Boot; install the package ovmf, or ask without Secure Boot',
  },
  {
    wanted: ({ tpm }) => tpm === true,
    given: ({ tpm2 }) => tpm2,
    lacks: () => 'it has no TPM emulator; install the packages swtpm and swtpm-tools, or ask without a TPM',
  },
  {
    wanted: ({ console }) => console?.spice === true,
    given: ({ spice }) => spice,
    lacks: () => 'its QEMU has no SPICE; use VNC',
  },
  {
    wanted: ({ cpuModel }) => namedModel(cpuModel) !== undefined,
    given: ({ cpuModels }, { cpuModel }) => cpuModels.includes(cpuModel ?? ''),
    lacks: ({ cpuModel }) =>
      `guests cannot have the CPU model ${quote(cpuModel ?? '')} on it; \`virsh domcapabilities\` lists those with usable='yes'`,
  },
  {
    wanted: ({ cpuModel }) => cpuModel === 'host-model',
    given: ({ hostModel }) => hostModel,
    lacks: () => 'libvirt offers no host-model CPU here; name a model, or leave it out',
  },
]

/** The CPU model by name, for texts that are not one of the modes. */
export function namedModel(cpuModel: string | undefined): string | undefined {
  return cpuModel === undefined || ['', 'host-model', 'host-passthrough', 'maximum'].includes(cpuModel)
    ? undefined
    : cpuModel
}

/**
 * Checks what the request needs of the host beside storage and networks; returns the enlightenments its guest gets. libvirt is asked only when something is to be known. Errors: HOST_LACKS_FEATURE naming what is
 * missing, LIBVIRT_*.
 */
export async function requireHost(
  vm: { readonly vmId: string; readonly spec: VmSpec },
  type: DomainType,
  deps: Pick<DomainDeps, 'libvirt' | 'config'>,
  signal: AbortSignal,
): Promise<{ hyperv: readonly string[] }> {
  const { vmId, spec } = vm
  if (spec.hugepages) requireHugepages(await readHugepages(), spec.memoryBytes, vmId)
  const enlightenments = type === 'kvm' ? guestProfile(spec.guestOs).hyperv : []
  const wanted = NEEDS.filter((need) => need.wanted(spec, type))
  if (wanted.length === 0 && enlightenments.length === 0) return { hyperv: [] }
  const host = await readHostAbilities(deps.libvirt, { type, emulator: deps.config.emulator }, signal)
  const missing = wanted.find((need) => !need.given(host, spec))
  if (missing !== undefined) {
    throw new AgentError('HOST_LACKS_FEATURE', `VM ${vmId} cannot be on this host as asked for: ${missing.lacks(spec)}`)
  }
  return { hyperv: enlightenments.filter((name) => host.hyperv?.includes(name) ?? true) }
}
