import { expect, test } from 'vitest'
import { AgentError } from '../../../../src/core/errors.ts'
import type { MigrationRequest } from '../../../../src/core/model.ts'
import type { MigrationParts } from '../../../../src/domains/migration/build-offer.ts'
import type { MigrationTarget } from '../../../../src/domains/migration/messages.ts'
import type { OutgoingJournal } from '../../../../src/domains/migration/outgoing-journal.ts'
import { OutgoingMigrations, type OutgoingResult } from '../../../../src/domains/migration/outgoing.ts'
import type { OperationManager } from '../../../../src/operations/manager.ts'
import type { OperationHandler } from '../../../../src/operations/operation.ts'
import { VIR_DOMAIN_STATE } from '../../../../src/libvirt/constants.ts'
import { context, fakeCalls } from './fake-calls.ts'

const VM = '6f1cbbd2-1c9f-4a3c-9a0e-0a9c64f7f001'
const CANCELLED = new AgentError('CANCELLED', 'job 1 was cancelled')

test.each([
  ['its lease is free', () => Promise.resolve()],
  ['its lease cannot be seen', () => Promise.reject(new AgentError('POOL_UNAVAILABLE', 'pool p is not in use now'))],
])(
  'of a VM that is off a cancelled migration goes on after a restart (%s): kept, asked for, given back',
  async (_, keep) => {
    const { client } = fakeCalls({
      DOMAIN_GET_STATE: () => ({ state: VIR_DOMAIN_STATE.SHUTOFF, reason: 1 }),
      DOMAIN_GET_JOB_STATS: () => ({ type: 0, params: [] }),
      DOMAIN_HAS_MANAGED_SAVE_IMAGE: () => ({ result: 0 }),
    })
    const told: string[] = []
    const tell = (what: string, signal: AbortSignal) => void told.push(signal.aborted ? `${what} too late` : what)
    const leases = {
      keepFree: (_vm: unknown, { signal }: { signal: AbortSignal }) => {
        tell('kept', signal)
        return keep()
      },
      forget: (_vm: unknown, { signal }: { signal: AbortSignal }) => Promise.resolve(tell('given back', signal)),
    }
    const finish: MigrationTarget['finish'] = (_id, _vm, cookie, signal) => {
      tell(`asked ${String(cookie)}`, signal)
      return Promise.resolve({ state: 'cancelled', why: 'it was never told to' })
    }
    let handler: OperationHandler<MigrationRequest, OutgoingResult, OutgoingJournal> | undefined
    const operations = { register: (made: typeof handler) => (handler = made) } as unknown as OperationManager
    const ready = { ...client, ready: () => Promise.resolve() }
    new OutgoingMigrations({
      parts: { client: ready, deps: { libvirt: client, leases } } as unknown as MigrationParts,
      operations,
      inventory: { settle: () => Promise.resolve(), nameOf: () => VM, movedAway: () => undefined },
      connect: () => ({ finish }) as unknown as MigrationTarget,
      tls: false,
      log: context().log,
    })
    const journal: OutgoingJournal = { phase: 'deciding', paused: false, off: true, copied: [], disks: [] }
    const ctx = { ...context(), signal: AbortSignal.abort(CANCELLED), id: '1', journal, progress: () => undefined }
    const request: MigrationRequest = { vmId: VM, target: 'b', live: true, copyStorage: false, options: {} }
    const ended = handler?.run(request, { ...ctx, save: () => Promise.resolve() })
    await expect(ended).rejects.toMatchObject({ reason: 'ABORTED_BY_RESTART' })
    expect(told).toEqual(['kept', 'asked undefined', 'given back'])
  },
)
