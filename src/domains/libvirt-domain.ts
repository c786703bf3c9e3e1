import type { PowerState } from '../core/model.ts'
import type { LibvirtClient } from '../libvirt/client.ts'
import {
  VIR_DOMAIN_PAUSED,
  VIR_DOMAIN_RUNNING,
  VIR_DOMAIN_SHUTOFF,
  VIR_DOMAIN_STATE,
  VIR_ERR,
} from '../libvirt/constants.ts'
import { isLibvirtError } from '../libvirt/errors.ts'
import { uuidBytes } from '../libvirt/uuid.ts'
import type { RemoteNonnullDomain } from '../libvirt/wire/remote-types.gen.ts'
import { vmError } from './libvirt-errors.ts'

/** What the domain layer needs of the libvirt client for plain calls. */
export type LibvirtCalls = Pick<LibvirtClient, 'call'>

const READ_TIMEOUT_MS = 15_000

/** A handle for a call on a domain. libvirt's QEMU driver finds the domain by its UUID alone. */
export function domainRef(vmId: string): RemoteNonnullDomain {
  return { name: '', uuid: uuidBytes(vmId), id: -1 }
}

/** Finds a domain by UUID; undefined only when libvirt itself says that there is none. Errors: LIBVIRT_*. */
export async function findDomain(
  libvirt: LibvirtCalls,
  vmId: string,
  signal: AbortSignal,
): Promise<RemoteNonnullDomain | undefined> {
  try {
    const { dom } = await libvirt.call(
      'remote:DOMAIN_LOOKUP_BY_UUID',
      { uuid: uuidBytes(vmId) },
      { timeoutMs: READ_TIMEOUT_MS, signal },
    )
    return dom
  } catch (error) {
    if (isLibvirtError(error, VIR_ERR.NO_DOMAIN)) return undefined
    throw vmError(error, vmId)
  }
}

/** The domain's XML (of the running guest when there is one, unless `flags` of virDomainXMLFlags say otherwise); undefined when it has gone. Errors: LIBVIRT_*. */
export async function readDomainXml(
  libvirt: LibvirtCalls,
  dom: RemoteNonnullDomain,
  vmId: string,
  signal: AbortSignal,
  flags = 0,
): Promise<string | undefined> {
  try {
    const { xml } = await libvirt.call(
      'remote:DOMAIN_GET_XML_DESC',
      { dom, flags },
      { timeoutMs: READ_TIMEOUT_MS, signal },
    )
    return xml
  } catch (error) {
    if (isLibvirtError(error, VIR_ERR.NO_DOMAIN)) return undefined
    throw vmError(error, vmId)
  }
}

/** State of a domain, from libvirt's memory: never waits for the guest. Errors: VM_NOT_FOUND, LIBVIRT_*. */
export async function readPowerState(libvirt: LibvirtCalls, vmId: string, signal: AbortSignal): Promise<PowerState> {
  try {
    const { state, reason } = await libvirt.call(
      'remote:DOMAIN_GET_STATE',
      { dom: domainRef(vmId), flags: 0 },
      { timeoutMs: READ_TIMEOUT_MS, signal },
    )
    return powerState(state, reason)
  } catch (error) {
    throw vmError(error, vmId)
  }
}

const POWER_STATES: Readonly<Record<number, PowerState>> = {
  [VIR_DOMAIN_STATE.RUNNING]: 'RUNNING',
  [VIR_DOMAIN_STATE.BLOCKED]: 'RUNNING',
  [VIR_DOMAIN_STATE.PAUSED]: 'PAUSED',
  // Being shut down is still running until it is off.
  [VIR_DOMAIN_STATE.SHUTDOWN]: 'RUNNING',
  [VIR_DOMAIN_STATE.SHUTOFF]: 'STOPPED',
  [VIR_DOMAIN_STATE.CRASHED]: 'CRASHED',
  [VIR_DOMAIN_STATE.PMSUSPENDED]: 'SUSPENDED',
}

/** virDomainState and its reason as the contract's PowerState: a guest whose QEMU died is CRASHED until it is started again, and one that waits for memory of another host stands still whatever libvirt calls it. */
export function powerState(state: number, reason: number): PowerState {
  if (state === VIR_DOMAIN_STATE.SHUTOFF && reason === VIR_DOMAIN_SHUTOFF.CRASHED) return 'CRASHED'
  if (isPostCopyBroken(state, reason)) return 'PAUSED'
  return POWER_STATES[state] ?? 'UNKNOWN'
}

/** Whether the memory of a guest is on two hosts, because its migration broke off after the switch. libvirt calls it paused at the source, and running at the target. */
export function isPostCopyBroken(state: number, reason: number): boolean {
  if (state === VIR_DOMAIN_STATE.PAUSED) return reason === VIR_DOMAIN_PAUSED.POSTCOPY_FAILED
  return state === VIR_DOMAIN_STATE.RUNNING && reason === VIR_DOMAIN_RUNNING.POSTCOPY_FAILED
}

/** Whether the QEMU of a domain is being started, which libvirt calls paused. */
export function isStarting(state: number, reason: number): boolean {
  return state === VIR_DOMAIN_STATE.PAUSED && reason === VIR_DOMAIN_PAUSED.STARTING_UP
}

/** True when a QEMU of this host has the disks open; unlike `!isOff` false of a state that cannot be told. */
export function hasQemu(state: PowerState): boolean {
  return state === 'RUNNING' || state === 'PAUSED' || state === 'SUSPENDED'
}

/** True when no QEMU process runs for the domain. */
export function isOff(state: PowerState): boolean {
  return state === 'STOPPED' || state === 'CRASHED'
}
