import { expect, test } from 'vitest'
import { AgentError } from '../../../../src/core/errors.ts'
import { VIR_DOMAIN_STATE, VIR_ERR } from '../../../../src/libvirt/constants.ts'
import type { LibvirtError } from '../../../../src/libvirt/errors.ts'
import { typedParam } from '../../../../src/libvirt/typed-params.ts'
import type { MigrationParts } from '../../../../src/domains/migration/build-offer.ts'
import { readJob } from '../../../../src/domains/migration/read-job.ts'
import { leaveSource, settleSource } from '../../../../src/domains/migration/settle-outgoing.ts'
import { context, fakeCalls, libvirtError, noDomain } from './fake-calls.ts'

const VM = '6f1cbbd2-1c9f-4a3c-9a0e-0a9c64f7f001'
const MIGRATION_OUT = 5
const BACKUP = 9
const job = (operation: number) => ({ type: 2, params: [typedParam.int('operation', operation)] })
const running = { state: VIR_DOMAIN_STATE.RUNNING, reason: 1 }

test('a job that is no migration is left alone', async () => {
  const { client, asked } = fakeCalls({ DOMAIN_GET_JOB_STATS: () => job(BACKUP), DOMAIN_GET_STATE: () => running })
  expect(await readJob(VM, client, context().signal)).toBe(BACKUP)
  expect(await settleSource(VM, { client }, context())).toBe('runs')
  expect(asked).not.toContain('DOMAIN_ABORT_JOB')
})

test('a migration is ended first; the state that counts is the one after it', async () => {
  let ended = false
  const { client, asked } = fakeCalls({
    DOMAIN_GET_JOB_STATS: () => (ended ? { type: 0, params: [] } : job(MIGRATION_OUT)),
    DOMAIN_ABORT_JOB: () => {
      ended = true
      return {}
    },
    DOMAIN_GET_STATE: () => (ended ? { state: VIR_DOMAIN_STATE.PAUSED, reason: 2 } : running),
  })
  expect(await settleSource(VM, { client }, context())).toBe('still')
  expect(asked.filter((name) => name === 'DOMAIN_ABORT_JOB')).toHaveLength(1)
})

test('only OPERATION_INVALID says that there is no job', async () => {
  const answer = (error: LibvirtError) =>
    fakeCalls({
      DOMAIN_GET_JOB_STATS: () => {
        throw error
      },
      DOMAIN_GET_STATE: () => ({ state: VIR_DOMAIN_STATE.SHUTOFF, reason: 1 }),
    })
  expect(await settleSource(VM, answer(libvirtError(VIR_ERR.OPERATION_INVALID)), context())).toBe('still')
  await expect(settleSource(VM, answer(libvirtError(VIR_ERR.OPERATION_TIMEOUT)), context())).rejects.toThrow(VM)
})

test.each([
  ['started', 'runs'],
  ['saved', 'saved'],
] as const)('a VM that is %s as it is undefined after it moved while it was off is not left', async (how, use) => {
  let asked = false
  const { client } = fakeCalls({
    DOMAIN_GET_STATE: () => ({ state: VIR_DOMAIN_STATE.SHUTOFF, reason: 1 }),
    DOMAIN_HAS_MANAGED_SAVE_IMAGE: () => ({ result: asked && how === 'saved' ? 1 : 0 }),
    DOMAIN_UNDEFINE_FLAGS: () => {
      asked = true
      if (how === 'saved') throw libvirtError(VIR_ERR.OPERATION_INVALID)
      return {}
    },
  })
  let forgotten = false
  const leases = { handOver: () => Promise.resolve().then(() => (forgotten = true)) }
  const parts = { client, deps: { libvirt: client, leases } } as unknown as MigrationParts
  expect(await leaveSource(VM, { off: true, copied: [], disks: [] }, parts, context())).toBe(use)
  expect([asked, forgotten]).toEqual([true, false])
})

test('a lease in a pool that is not in use yet is waited for, with the definition gone', async () => {
  const { client, asked } = fakeCalls({
    DOMAIN_GET_STATE: () => ({ state: VIR_DOMAIN_STATE.SHUTOFF, reason: 1 }),
    DOMAIN_HAS_MANAGED_SAVE_IMAGE: () => ({ result: 0 }),
    DOMAIN_UNDEFINE_FLAGS: () => ({}),
    DOMAIN_LOOKUP_BY_UUID: () => (asked.includes('DOMAIN_UNDEFINE_FLAGS') ? noDomain() : { dom: {} }),
  })
  const leases = { handOver: () => Promise.reject(new AgentError('POOL_UNAVAILABLE', 'pool p is not in use now')) }
  const parts = { client, deps: { libvirt: client, leases } } as unknown as MigrationParts
  const left = leaveSource(VM, { off: true, copied: [], disks: [] }, parts, context())
  await expect(left).rejects.toMatchObject({ reason: 'POOL_UNAVAILABLE' })
  expect(asked).toContain('DOMAIN_UNDEFINE_FLAGS')
})
