import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { AgentError } from '../../../src/core/errors.ts'
import { INCOMING_KIND } from '../../../src/domains/migration/incoming.ts'
import type { MigrationTarget } from '../../../src/domains/migration/messages.ts'
import { readPowerState } from '../../../src/domains/libvirt-domain.ts'
import { moments } from '../moments.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import { within } from './agent-fixture.ts'
import { beginMigration, expectOnlyOn, type SideOptions } from './broken-migration.ts'
import { echoes, migrate, migrationTo, SHARED, stateOn } from './migration-host.ts'
import { MigrationPair } from './migration-pair.ts'
import { killLibvirtd, startLibvirtd } from './private-libvirtd.ts'

const missing = await requirePrerequisite('libvirt', missingLibvirt)

describe.skipIf(missing !== undefined)('a migration that breaks', () => {
  let pair: MigrationPair
  beforeAll(async () => {
    pair = await MigrationPair.up(inject('libvirtDir') ?? '')
  }, 120_000)
  afterAll(() => pair.down())

  /** The VM runs on exactly one host, goes on there, and the other one has nothing of it; then it is deleted. */
  const expectOn = (vmId: string, where: 'a' | 'b', before: Readonly<Record<'a' | 'b', string[]>>) =>
    expectOnlyOn(pair, { vmId, where, state: 'RUNNING', before }, async (host) =>
      expect(await echoes(host, vmId, 'e')).toBe(true),
    )
  const begin = (options: SideOptions = {}) => beginMigration(pair, () => pair.running('a', SHARED), options)

  test.each(
    moments([
      ['preparing', 'a'],
      ['begun', 'a'],
      ['performing', 'a'],
      ['performed', 'a'],
      ['deciding', 'a'],
      ['moved', 'b'],
      ['confirmed', 'b'],
    ] as const),
  )('the agent of the source is killed (%s): the VM is on %s', async (point, where) => {
    const { b, before, vmId } = await begin()
    await pair.close('a')
    const { ended } = pair.child('a', point, migrationTo(b, vmId))
    expect(await ended).toEqual([null, 'SIGKILL'])
    await expectOn(vmId, where, before)
  })

  test.each(
    moments([
      ['opening', 'a'],
      ['opened', 'a'],
      ['prepared', 'a'],
      ['finished', 'b'],
    ] as const),
  )('the agent of the target is killed (%s): the VM is on %s', async (point, where) => {
    const { a, b, before, vmId } = await begin()
    const request = migrationTo(b, vmId)
    await pair.close('b')
    const { serving, ended } = pair.child('b', point)
    await serving
    const outcome = migrate(a, request).then(
      () => 'b',
      () => 'a',
    )
    expect(await ended).toEqual([null, 'SIGKILL'])
    await pair.host('b')
    expect(await outcome).toBe(where)
    await expectOn(vmId, where, before)
  })

  test('the agent of the target is killed after it has decided, before libvirt knows: the VM is on one of them', async () => {
    const { a, b, before, vmId } = await begin()
    const request = migrationTo(b, vmId)
    await pair.close('b')
    const { serving, ended } = pair.child('b', 'finishing')
    await serving
    const outcome = migrate(a, request).then(
      () => 'b' as const,
      () => 'a' as const,
    )
    await ended
    await pair.host('b')
    await expectOn(vmId, await outcome, before)
  })

  test.each(
    moments([
      ['begun', 'a'],
      ['performing', 'a'],
      ['deciding', 'b'],
      ['moved', 'b'],
    ] as const),
  )('libvirtd of the source is killed (%s): the VM is on %s', async (point, where) => {
    let back: Promise<unknown> = Promise.resolve()
    const onMigrationStep = (name: string) => {
      if (name === point) back = killLibvirtd(pair.libvirt.a).then(() => startLibvirtd(pair.libvirt.a))
    }
    const { a, b, before, vmId } = await begin({ a: { onMigrationStep } })
    const outcome = await migrate(a, migrationTo(b, vmId)).then(
      () => 'b' as const,
      () => 'a' as const,
    )
    await back
    await a.client.ready(within())
    // The kill is not waited for: the transfer may be over before it.
    expect(point === 'begun' || point === 'performing' ? ['a', 'b'] : [where]).toContain(outcome)
    await expectOn(vmId, outcome, before)
  })

  test.each(moments(['prepared', 'finishing', 'finished'] as const))(
    'libvirtd of the target is killed (%s): the VM is on one of them',
    async (point) => {
      let back: Promise<unknown> = Promise.resolve()
      const onIncomingStep = (name: string) => {
        if (name === point) back = killLibvirtd(pair.libvirt.b).then(() => startLibvirtd(pair.libvirt.b))
      }
      const { a, b, before, vmId } = await begin({ b: { onIncomingStep } })
      const outcome = await migrate(a, migrationTo(b, vmId)).then(
        () => 'b' as const,
        () => 'a' as const,
      )
      await back
      await b.client.ready(within())
      await expectOn(vmId, outcome, before)
    },
  )

  const unreachable = () =>
    Promise.reject(new AgentError('MIGRATION_PEER_UNAVAILABLE', 'the network is cut by the test'))

  test('the answer of the target is lost at the switch: the source asks until it has it, and the VM is there', async () => {
    let lost = 0
    const aroundTarget = (target: MigrationTarget): MigrationTarget => ({
      ...target,
      finish: async (...args) => {
        const outcome = await target.finish(...args)
        return lost++ < 2 ? unreachable() : outcome
      },
    })
    const { a, b, before, vmId } = await begin({ a: { aroundTarget } })
    await migrate(a, migrationTo(b, vmId))
    expect(lost).toBe(3)
    await expectOn(vmId, 'b', before)
  })

  test('the network is cut before the switch: the target gives up, and the VM goes on where it was when that is told', async () => {
    let cut = false
    const whole = (target: MigrationTarget): MigrationTarget => ({
      ...target,
      alive: (...args) => (cut ? unreachable() : target.alive(...args)),
      finish: (...args) => (cut ? unreachable() : target.finish(...args)),
    })
    const onMigrationStep = (name: string) => {
      if (name === 'deciding') cut = true
    }
    const { a, b, before, vmId } = await begin({ a: { aroundTarget: whole, onMigrationStep }, b: { lostMs: 12_000 } })
    const outcome = migrate(a, migrationTo(b, vmId))
    outcome.catch(() => undefined)
    // Nobody may let it run here before the target has spoken.
    const incoming = () => b.operations.list(INCOMING_KIND).find(({ subject }) => subject === `vm ${vmId}`)
    await expect.poll(() => incoming()?.state, { timeout: 60_000 }).toBe('failed')
    expect(await readPowerState(a.client, vmId, within())).toBe('PAUSED')
    expect(await stateOn(a, vmId)).toBe('PAUSED')
    cut = false
    await expect(outcome).rejects.toMatchObject({ reason: 'MIGRATION_FAILED' })
    await expectOn(vmId, 'a', before)
  })
})
