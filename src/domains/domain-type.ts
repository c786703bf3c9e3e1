import { fromLibvirt } from '../libvirt/agent-errors.ts'
import type { DomainType } from './definition.ts'
import type { LibvirtCalls } from './libvirt-domain.ts'
import { readXml } from './read-xml.ts'

// The first look makes libvirt start QEMU to probe it.
const CAPABILITIES_TIMEOUT_MS = 120_000

/** The domain type for new VMs: as configured, or with `auto` KVM when libvirt says that it can run x86_64 guests with it. */
export async function chooseDomainType(
  configured: 'auto' | DomainType,
  libvirt: LibvirtCalls,
  signal: AbortSignal,
): Promise<DomainType> {
  if (configured !== 'auto') return configured
  try {
    const { capabilities } = await libvirt.call(
      'remote:CONNECT_GET_CAPABILITIES',
      {},
      {
        timeoutMs: CAPABILITIES_TIMEOUT_MS,
        signal,
      },
    )
    return supportsKvm(capabilities) ? 'kvm' : 'qemu'
  } catch (error) {
    throw fromLibvirt(error, 'capabilities of the host')
  }
}

/** True when a capabilities XML of libvirt offers KVM for x86_64 guests. */
export function supportsKvm(capabilities: string): boolean {
  return readXml(capabilities)
    .all('guest')
    .flatMap((guest) => guest.all('arch'))
    .filter((arch) => arch.attribute('name') === 'x86_64')
    .some((arch) => arch.all('domain').some((domain) => domain.attribute('type') === 'kvm'))
}
