import { expect, test } from 'vitest'
import { AgentError } from '../../../../src/core/errors.ts'
import type { MigrationRequest } from '../../../../src/core/model.ts'
import type { MigrationParts } from '../../../../src/domains/migration/build-offer.ts'
import type { MigrationTarget } from '../../../../src/domains/migration/messages.ts'
import type { OutgoingJournal, OutgoingResult } from '../../../../src/domains/migration/outgoing-journal.ts'
import { OutgoingMigrations } from '../../../../src/domains/migration/outgoing.ts'
import type { OperationManager } from '../../../../src/operations/manager.ts'
import type { OperationHandler } from '../../../../src/operations/operation.ts'
import { VIR_DOMAIN_PAUSED, VIR_DOMAIN_STATE, VIR_ERR } from '../../../../src/libvirt/constants.ts'
import type { LibvirtCalls } from '../../../../src/domains/libvirt-domain.ts'
import { context, fakeCalls, libvirtError } from './fake-calls.ts'

const VM = '6f1cbbd2-1c9f-4a3c-9a0e-0a9c64f7f001'
const CANCELLED = new AgentError('CANCELLED', 'job 1 was cancelled')

/** Takes a migration up from its journal; `saved` is what it has written since. */
function afterRestart(
  deps: { readonly libvirt: LibvirtCalls; readonly leases?: unknown; readonly splits?: unknown },
  finish: MigrationTarget['finish'],
  journal: OutgoingJournal,
  signal: AbortSignal,
) {
  const saved = [journal]
  let handler: OperationHandler<MigrationRequest, OutgoingResult, OutgoingJournal> | undefined
  const operations = { register: (made: typeof handler) => (handler = made), get: () => ({ journal: saved.at(-1) }) }
  new OutgoingMigrations({
    parts: { client: { ...deps.libvirt, ready: () => Promise.resolve() }, deps } as unknown as MigrationParts,
    operations: operations as unknown as OperationManager,
    inventory: { settle: () => Promise.resolve(), nameOf: () => VM, movedAway: () => undefined },
    connect: () => ({ finish }) as unknown as MigrationTarget,
    tls: false,
    log: context().log,
  })
  const save = (next: OutgoingJournal) => {
    saved.push(next)
    return Promise.resolve()
  }
  const ctx = { ...context(), signal, id: '1', journal, progress: () => undefined, save }
  const request: MigrationRequest = { vmId: VM, target: 'b', live: true, copyStorage: false, options: {} }
  return { saved, ended: handler?.run(request, ctx) }
}

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
    const journal: OutgoingJournal = { phase: 'deciding', paused: false, off: true, copied: [], disks: [] }
    const { ended } = afterRestart({ libvirt: client, leases }, finish, journal, AbortSignal.abort(CANCELLED))
    await expect(ended).rejects.toMatchObject({ reason: 'ABORTED_BY_RESTART' })
    expect(told).toEqual(['kept', 'asked undefined', 'given back'])
  },
)

test.each([
  ['takes neither', 'DOMAIN_RESUME', 'DOMAIN_SNAPSHOT_CREATE_XML'],
  ['takes its snapshots, and does not let it run', 'DOMAIN_RESUME'],
  ['lets it run, and does not take its snapshots', 'DOMAIN_SNAPSHOT_CREATE_XML'],
])('of a VM that is back, while libvirt %s, everything is tried and no password kept', async (_, ...refused) => {
  const calls = {
    DOMAIN_GET_STATE: () => ({ state: VIR_DOMAIN_STATE.PAUSED, reason: 1 }),
    DOMAIN_GET_JOB_STATS: () => ({ type: 0, params: [] }),
    DOMAIN_LIST_ALL_SNAPSHOTS: () => ({ snapshots: [] }),
    DOMAIN_RESUME: () => ({}),
    DOMAIN_SNAPSHOT_CREATE_XML: () => ({}),
  }
  const refuse = () => {
    throw libvirtError(VIR_ERR.OPERATION_FAILED)
  }
  const { client, asked } = fakeCalls({ ...calls, ...Object.fromEntries(refused.map((name) => [name, refuse])) })
  const snapshots = [{ name: 's', xml: '<domainsnapshot><name>secret</name></domainsnapshot>', current: true }]
  const rest: OutgoingJournal = { phase: 'deciding', paused: false, off: false, copied: [], disks: [] }
  const finish: MigrationTarget['finish'] = () => Promise.resolve({ state: 'cancelled', why: 'it was never told to' })
  const { saved, ended } = afterRestart({ libvirt: client }, finish, { ...rest, snapshots }, context().signal)
  await expect(ended).rejects.toMatchObject({ reason: 'LIBVIRT_REFUSED' })
  expect(asked).toEqual(expect.arrayContaining(['DOMAIN_RESUME', 'DOMAIN_SNAPSHOT_CREATE_XML']))
  expect(saved.at(-1)).toEqual(rest)
})

test('that a VM is split is on disk before its leases are left and anybody is told, however long that takes', async () => {
  const { client } = fakeCalls({
    DOMAIN_GET_STATE: () => ({ state: VIR_DOMAIN_STATE.PAUSED, reason: VIR_DOMAIN_PAUSED.POSTCOPY_FAILED }),
    DOMAIN_GET_JOB_STATS: () => ({ type: 0, params: [] }),
    'qemu:DOMAIN_MONITOR_COMMAND': () => ({ result: JSON.stringify({ return: { status: 'postcopy-paused' } }) }),
    DOMAIN_GET_XML_DESC: () => ({ xml: `<domain><uuid>${VM}</uuid></domain>` }),
  })
  const told: unknown[] = []
  const splits = {
    mark: (vmId: string, { name, target }: { name: string; target: string }) => {
      told.push([vmId, name, target])
      if (told.length > 1) return Promise.resolve()
      return Promise.reject(new AgentError('STATE_NOT_WRITABLE', 'the disk is full'))
    },
  }
  const leases = { leave: () => Promise.resolve(told.push('left')) }
  const journal: OutgoingJournal = { phase: 'deciding', paused: false, off: false, copied: [], disks: [] }
  const finish: MigrationTarget['finish'] = () => Promise.resolve({ state: 'arrived', cookie: '', split: true })
  const { ended } = afterRestart({ libvirt: client, leases, splits }, finish, journal, context().signal)
  await expect(ended).rejects.toMatchObject({ reason: 'MIGRATION_SPLIT' })
  expect(told).toEqual([[VM, VM, 'b'], [VM, VM, 'b'], 'left'])
})
