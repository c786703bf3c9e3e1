import { AgentError } from '../core/errors.ts'
import { parseUuid } from '../core/ids.ts'
import type { LibraryImage } from '../core/model.ts'
import type { DomainInventory } from '../domains/inventory.ts'
import type { GuestService, VmDeviceService } from './contracts.ts'

/** What finding and inserting the ISO takes. */
export interface AgentIsoParts {
  /** `hypervisor.agent_iso`. */
  readonly configured: string | undefined
  /** The images of this host, not older than a few seconds. */
  readonly images: (signal: AbortSignal) => Promise<readonly LibraryImage[]>
  readonly inventory: Pick<DomainInventory, 'entry'>
  readonly devices: Pick<VmDeviceService, 'changeMedia'>
}

// Control planes give up after 30 s.
const ANSWER_WITHIN_MS = 28_000
/** Names of ISOs with guest agents, the first family that is there wins, and in it the highest version. */
const FAMILIES: readonly RegExp[] = [/^quantix-(kvm-)?agent(-tools)?\b.*\.iso$/i, /^virtio-win\b.*\.iso$/i]

/** GuestService.mountAgentIso: the configured ISO, else the newest of the images of this host that has one of the usual names. */
export function createAgentIso(parts: AgentIsoParts): Pick<GuestService, 'mountAgentIso'> {
  const { configured, images, inventory, devices } = parts
  return {
    async mountAgentIso(vmId, caller) {
      const id = parseUuid(vmId, 'vm_id')
      const signal = AbortSignal.any([caller, AbortSignal.timeout(ANSWER_WITHIN_MS)])
      const { facts } = await inventory.entry(id, signal)
      const isoPath = configured ?? newestAgentIso(await images(signal))
      if (isoPath === undefined) {
        throw new AgentError(
          'AGENT_ISO_MISSING',
          'this host has no ISO with guest agents; set hypervisor.agent_iso, or put virtio-win.iso or quantix-kvm-agent-tools-<version>.iso into the iso directory of a pool',
        )
      }
      // In a drive of its own it may stay there, whatever other drives are empty.
      const drive = facts.cdroms.find(({ role, path }) => role !== 'seed' && path === isoPath)
      // What the guest is just reading is not torn out of its drive.
      const change = { device: drive?.id ?? '', isoPath, force: false }
      const { targetDev, path } = await devices.changeMedia(id, change, signal)
      return { device: targetDev, isoPath: path }
    },
  }
}

/** Path of the newest ISO with guest agents among `images`. */
export function newestAgentIso(images: readonly LibraryImage[]): string | undefined {
  for (const family of FAMILIES) {
    const found = images.filter(({ format, fileName }) => format === 'iso' && family.test(fileName))
    const [newest] = found.sort((a, b) => b.fileName.localeCompare(a.fileName, 'en', { numeric: true }))
    if (newest !== undefined) return newest.path
  }
  return undefined
}
