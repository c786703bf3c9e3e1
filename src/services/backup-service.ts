import type { Backups } from '../domains/backup/backups.ts'
import { parseId, parseUuid } from '../core/ids.ts'
import type { BackupExports } from '../domains/backup/backup-exports.ts'
import { AgentError } from '../core/errors.ts'
import type { BackupService } from './contracts.ts'

const DEFAULT_LIFETIME_S = 4 * 60 * 60
const LONGEST_LIFETIME_S = 7 * 24 * 60 * 60

/** BackupService over the domain layer: checks what callers send. */
export function createBackupService(backups: Backups, exports: BackupExports): BackupService {
  return {
    list: async (vmId, signal) => backups.list(vmId === undefined ? undefined : parseUuid(vmId, 'id'), signal),
    async create(vmId, { name, poolId, mode }, signal) {
      const request = {
        vmId: parseUuid(vmId, 'id'),
        name: name === '' ? nameOfNow() : name,
        poolId: parseId(poolId, 'poolId'),
        mode,
      }
      const { id } = await backups.create(request, signal)
      return { jobId: id, name: request.name }
    },
    async restore(vmId, name, { poolId, prefix }, signal) {
      const given = { poolId: parseId(poolId, 'poolId'), prefix: parseId(prefix, 'prefix') }
      const { id } = await backups.restore({ vmId: parseUuid(vmId, 'id'), name, ...given }, signal)
      return { jobId: id }
    },
    delete: async (vmId, name, signal) => backups.delete(parseUuid(vmId, 'id'), name, signal),
    listExports: async (vmId) => exports.list(parseUuid(vmId, 'id')),
    async openExport(vmId, { name, poolId, mode, since, lifetimeSeconds }, signal) {
      const seconds = lifetimeSeconds === 0 ? DEFAULT_LIFETIME_S : lifetimeSeconds
      if (seconds > LONGEST_LIFETIME_S)
        throw new AgentError('INVALID_REQUEST', `lifetimeSeconds: use at most ${LONGEST_LIFETIME_S}`)
      const request = {
        vmId: parseUuid(vmId, 'id'),
        name: name === '' ? nameOfNow() : name,
        poolId: poolId === '' ? '' : parseId(poolId, 'poolId'),
        mode,
        since: since === '' ? '' : parseId(since, 'since'),
        lifetimeMs: seconds * 1000,
      }
      return exports.open(request, signal)
    },
    endExport: async (vmId, name, complete, signal) => exports.end(parseUuid(vmId, 'id'), name, complete, signal),
    forgetExport: async (vmId, name, signal) => backups.forgetExport(parseUuid(vmId, 'id'), name, signal),
  }
}

// To the second, in UTC: sorted by name they are sorted by time.
function nameOfNow(): string {
  return new Date()
    .toISOString()
    .replace(/\.\d+Z$/, '')
    .replaceAll(':', '')
    .replace('T', '-')
}
