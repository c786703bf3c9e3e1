import { expect, test } from 'vitest'
import { VIR_DOMAIN_PAUSED, VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_STATE, VIR_ERR } from '../../../../src/libvirt/constants.ts'
import { settleIncoming } from '../../../../src/domains/migration/settle-incoming.ts'
import { context, fakeCalls, libvirtError, noDomain } from './fake-calls.ts'

const vmId = '6f1cbbd2-1c9f-4a3c-9a0e-0a9c64f7f001'
const { SHUTOFF, PAUSED, RUNNING } = VIR_DOMAIN_STATE

interface Seen {
  readonly state: number
  readonly reason: number
  readonly defined?: boolean
  readonly refused?: boolean
  readonly job?: () => unknown
}

async function settle({ state, reason, defined = true, refused = false, job }: Seen) {
  const fake = fakeCalls({
    DOMAIN_GET_STATE: () => ({ state, reason }),
    DOMAIN_IS_PERSISTENT: () => ({ persistent: defined ? 1 : 0 }),
    DOMAIN_DESTROY_FLAGS: () => ({}),
    DOMAIN_UNDEFINE_FLAGS: () => ({}),
    ...(job === undefined ? {} : { DOMAIN_GET_JOB_INFO: job }),
  })
  const parts = { client: fake.client, deps: { libvirt: fake.client } }
  const end = await settleIncoming({ vmId, paused: false, off: false, refused }, 'finishing', parts, context())
  return { end, removed: fake.asked.includes('DOMAIN_UNDEFINE_FLAGS') }
}

test('a guest that is off is settled without a question for its job', async () => {
  const { SHUTDOWN, CRASHED, DESTROYED, FAILED } = VIR_DOMAIN_SHUTOFF
  for (const reason of [SHUTDOWN, CRASHED, DESTROYED])
    expect(await settle({ state: SHUTOFF, reason })).toEqual({ end: 'arrived', removed: false })
  expect(await settle({ state: SHUTOFF, reason: FAILED, refused: true })).toEqual({ end: 'gone', removed: true })
  // A libvirtd that was killed says the same of a QEMU that it cannot reach any more.
  expect(await settle({ state: SHUTOFF, reason: FAILED })).toEqual({ end: 'arrived', removed: false })
  expect(await settle({ state: SHUTOFF, reason: DESTROYED, defined: false })).toEqual({ end: 'gone', removed: true })
})

test('a guest that is on is settled when it has no job', async () => {
  const job = () => ({ type: 0 })
  expect(await settle({ state: RUNNING, reason: 2, job })).toEqual({ end: 'arrived', removed: false })
  const waiting = { state: PAUSED, reason: VIR_DOMAIN_PAUSED.MIGRATION, job }
  expect(await settle(waiting)).toEqual({ end: 'gone', removed: true })
})

test('libvirt that refuses to tell the job is in the middle of it', async () => {
  let asked = 0
  const job = () => {
    if (++asked < 3) throw libvirtError(VIR_ERR.OPERATION_INVALID)
    return { type: 0 }
  }
  expect(await settle({ state: RUNNING, reason: 2, job })).toEqual({ end: 'arrived', removed: false })
  expect(asked).toBe(3)
})

test('one that libvirt does not have is gone', async () => {
  const { client } = fakeCalls({ DOMAIN_LOOKUP_BY_UUID: noDomain })
  const parts = { client, deps: { libvirt: client } }
  expect(await settleIncoming({ vmId, paused: false, off: false, refused: false }, 'finishing', parts, context())).toBe(
    'gone',
  )
})

test('of a VM that was to come while it is off nothing is removed that somebody else has made', async () => {
  const { client, asked } = fakeCalls({})
  const vm = { vmId, paused: false, off: true, refused: false }
  expect(await settleIncoming(vm, 'opening', { client, deps: { libvirt: client } }, context())).toBe('foreign')
  expect(asked).toEqual(['DOMAIN_LOOKUP_BY_UUID'])
})
