import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import type { DomainCdrom, DomainFacts } from './domain-info.ts'

const DRIVE_NAME = /^([a-z]{1,2})d([a-z])$/

/**
 * The CD-ROM drive that a request means by `device`; never the one with the cloud-init seed. Nothing means the first drive without a medium, else the first one. Otherwise an id; then a name.
 *
 * Control planes name the n-th drive `sd` plus the letter of the number of all disks plus n (contract 1.4), counting the disks as they are now. Drives got their names by that rule when the VM was
 * made, and keep them when disks come and go: so the rule is tried first, with the present number of disks, and the names in the domain after it. `hdX` is taken when there is only one drive.
 * CDROM_NOT_FOUND names the drives there are. Pure.
 */
export function chooseCdrom(facts: Pick<DomainFacts, 'vmId' | 'disks' | 'cdroms'>, device: string): DomainCdrom {
  const drives = facts.cdroms.filter(({ role }) => role !== 'seed')
  const found =
    device === ''
      ? (drives.find(({ path }) => path === '') ?? drives[0])
      : (drives.find(({ id }) => id === device) ??
        byRule(drives, facts.disks.length, device) ??
        drives.find(({ targetDev }) => targetDev === device))
  if (found !== undefined) return found
  const names = drives.map(({ id, targetDev }) => (id === targetDev ? id : `${id} (${targetDev})`))
  throw new AgentError(
    'CDROM_NOT_FOUND',
    `VM ${facts.vmId} has no CD-ROM drive ${quote(device)}; ${names.length === 0 ? 'it has none that media can be changed in' : `it has ${names.join(', ')}`}`,
  )
}

/**
 * True when `device` is what control planes call the drive after the last one: they add drives in their own records alone, so that the first word of one is the medium that is to be in it. Pure.
 */
export function isNextCdrom(
  { managed, disks, cdroms }: Pick<DomainFacts, 'managed' | 'disks' | 'cdroms'>,
  device: string,
): boolean {
  const [, bus, letter = ''] = DRIVE_NAME.exec(device) ?? []
  // A drive of that name is what its caller means.
  if (cdroms.some(({ targetDev, role }) => targetDev === device && role !== 'seed')) return false
  const drives = cdroms.filter(({ role }) => role !== 'seed').length
  return managed && bus === 's' && letter.charCodeAt(0) - 97 === disks.length + drives
}

function byRule(drives: readonly DomainCdrom[], disks: number, device: string): DomainCdrom | undefined {
  const [, bus, letter = ''] = DRIVE_NAME.exec(device) ?? []
  if (bus === 'h' && drives.length === 1) return drives[0]
  return bus === 's' ? drives[letter.charCodeAt(0) - 97 - disks] : undefined
}
