import { AgentError } from '../core/errors.ts'
import { abortable } from '../core/keyed-lock.ts'
import { parseUuid } from '../core/ids.ts'
import type { MigrationPhase, MigrationState } from '../core/model.ts'
import { findDomain, type LibvirtCalls } from '../domains/libvirt-domain.ts'
import { refused } from '../domains/migration/build-offer.ts'
import type { IncomingMigrations } from '../domains/migration/incoming.ts'
import { OUTGOING_KIND, type OutgoingMigrations } from '../domains/migration/outgoing.ts'
import type { OperationManager } from '../operations/manager.ts'
import { isFinal, type OperationRecord } from '../operations/operation.ts'
import type { MigrationService } from './contracts.ts'

export interface MigrationServiceDeps {
  readonly incoming: IncomingMigrations
  readonly outgoing: OutgoingMigrations
  readonly operations: OperationManager
  readonly libvirt: LibvirtCalls
}

/** MigrationService over the two sides of the domain layer. */
export function createMigrationService({
  incoming,
  outgoing,
  operations,
  libvirt,
}: MigrationServiceDeps): MigrationService {
  return {
    async announce(vmId, signal) {
      const id = parseUuid(vmId, 'vm_id')
      if ((await findDomain(libvirt, id, signal)) !== undefined) throw refused(id, ['a VM with its id is on this host'])
      return incoming.tickets.announce(id)
    },
    receive(token, vmId) {
      incoming.tickets.receive(token, parseUuid(vmId, 'vm_id'))
    },
    check: (request, signal) => outgoing.check(request, signal),
    start: async (request) => ({ jobId: (await outgoing.start(request)).id }),
    async *watch(jobId, signal) {
      let changed = Promise.withResolvers<void>()
      const stop = operations.watch(jobId, () => changed.resolve())
      try {
        for (;;) {
          const next = changed.promise
          const record = operations.get(jobId)
          if (record === undefined || record.kind !== OUTGOING_KIND)
            throw new AgentError('JOB_NOT_FOUND', `job ${jobId} is no migration that is known here`)
          yield stateOf(record)
          if (isFinal(record.state)) return
          await abortable(next, signal)
          changed = Promise.withResolvers()
        }
      } finally {
        stop()
      }
    },
    target: incoming,
  }
}

const PHASES: Readonly<Record<string, MigrationPhase>> = { transferring: 'TRANSFERRING', preparing: 'PREPARING' }

function stateOf({ id, subject, state, progress, error }: OperationRecord): MigrationState {
  const { bytesDone = 0, bytesTotal = 0 } = progress ?? {}
  const phase =
    state === 'completed'
      ? 'COMPLETE'
      : isFinal(state)
        ? 'FAILED'
        : progress === undefined
          ? 'PREPARING'
          : (PHASES[progress.phase] ?? 'SWITCHING')
  return {
    vmId: subject.replace(/^vm /, ''),
    jobId: id,
    phase,
    percent: phase === 'COMPLETE' ? 100 : (progress?.percent ?? 0),
    bytesDone,
    bytesRemaining: Math.max(0, bytesTotal - bytesDone),
    error: error?.message ?? '',
  }
}
