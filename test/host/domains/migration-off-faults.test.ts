import { randomUUID } from 'node:crypto'
import { renameSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { AgentError } from '../../../src/core/errors.ts'
import { domainRef } from '../../../src/domains/libvirt-domain.ts'
import { OUTGOING_KIND } from '../../../src/domains/migration/outgoing.ts'
import { until } from '../../support/until.ts'
import { moments } from '../moments.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import { context, waitForBoot, within } from './agent-fixture.ts'
import { beginMigration, expectOnlyOn, type SideOptions } from './broken-migration.ts'
import { migrate, migrationTo, SHARED, sharedPool, stateOn, type MigrationHost } from './migration-host.ts'
import { MigrationPair } from './migration-pair.ts'
import { killLibvirtd, startLibvirtd } from './private-libvirtd.ts'

const missing = await requirePrerequisite('libvirt', missingLibvirt)
const CALL = { timeoutMs: 60_000 }

describe.skipIf(missing !== undefined)('a migration of a VM that is off, when it breaks', () => {
  let pair: MigrationPair
  beforeAll(async () => {
    pair = await MigrationPair.up(inject('libvirtDir') ?? '')
  }, 120_000)
  afterAll(() => pair.down())

  const begin = (options: SideOptions = {}) => beginMigration(pair, () => pair.off('a', SHARED), options)
  /** The VM is off on exactly one host, starts there, and the other one has nothing of it; then it is deleted. */
  const expectOn = (vmId: string, where: 'a' | 'b', before: Readonly<Record<'a' | 'b', string[]>>) =>
    expectOnlyOn(pair, { vmId, where, state: 'STOPPED', before }, async (host) => {
      await host.vms.start(vmId, within())
      await waitForBoot(host, vmId)
    })
  const whereIs = (migration: Promise<unknown>) =>
    migration.then(
      () => 'b' as const,
      () => 'a' as const,
    )

  test.each(
    moments([
      ['preparing', 'a'],
      ['deciding', 'a'],
      ['moved', 'b'],
      ['left', 'b'],
    ] as const),
  )('the agent of the source is killed (%s): the VM is on %s', async (point, where) => {
    const { b, before, vmId } = await begin()
    await pair.close('a')
    expect(await pair.child('a', point, migrationTo(b, vmId)).ended).toEqual([null, 'SIGKILL'])
    await expectOn(vmId, where, before)
  })

  test.each(
    moments([
      ['opening', 'a'],
      ['opened', 'a'],
      ['finishing', 'b'],
      ['finished', 'b'],
    ] as const),
  )('the agent of the target is killed (%s): the VM is on %s', async (point, where) => {
    const { a, b, before, vmId } = await begin()
    const request = migrationTo(b, vmId)
    await pair.close('b')
    const { serving, ended } = pair.child('b', point)
    await serving
    const outcome = whereIs(migrate(a, request))
    expect(await ended).toEqual([null, 'SIGKILL'])
    await pair.host('b')
    expect(await outcome).toBe(where)
    await expectOn(vmId, where, before)
  })

  test.each([
    ['moved', 'a'],
    ['finishing', 'b'],
  ] as const)('libvirtd is killed (%s, of %s): the VM is at the target when it is back', async (point, side) => {
    let back: Promise<unknown> = Promise.resolve()
    const kill = (name: string) => {
      if (name === point) back = killLibvirtd(pair.libvirt[side]).then(() => startLibvirtd(pair.libvirt[side]))
    }
    const { a, b, before, vmId } = await begin({ a: { onMigrationStep: kill }, b: { onIncomingStep: kill } })
    await migrate(a, migrationTo(b, vmId))
    await back
    await (side === 'a' ? a : b).client.ready(within())
    await expectOn(vmId, 'b', before)
  })

  test('libvirt of the target does not take it: it stays, and the job says why', async () => {
    const other = randomUUID()
    const define = async (host: MigrationHost) => {
      const { facts } = await (await pair.host('a')).inventory.entry(vmId, within())
      const xml = `<domain type='qemu'><name>${facts.name}</name><uuid>${other}</uuid><memory>8192</memory><os><type>hvm</type></os></domain>`
      await host.client.call('remote:DOMAIN_DEFINE_XML_FLAGS', { xml, flags: 0 }, CALL)
    }
    const { a, b, before, vmId } = await begin({
      a: {
        aroundTarget: (target) => ({
          ...target,
          open: async (...args) => {
            const opened = await target.open(...args)
            await define(b)
            return opened
          },
        }),
      },
    })
    await expect(migrate(a, migrationTo(b, vmId))).rejects.toMatchObject({
      reason: 'MIGRATION_FAILED',
      message: expect.stringContaining(other),
    })
    await b.client.call('remote:DOMAIN_UNDEFINE_FLAGS', { dom: domainRef(other), flags: 0 }, CALL)
    await expectOn(vmId, 'a', before)
  })

  test('the target cannot write down that it has arrived: the source waits until it can', async () => {
    const written = path.join(pair.base.b, 'state/store/operations')
    const { a, b, before, vmId } = await begin({
      b: {
        onIncomingStep: (name) => {
          if (name === 'finished') renameSync(written, `${written}.away`)
        },
      },
    })
    const { jobId } = await a.migrations.start(migrationTo(b, vmId), within())
    const waits = async () => {
      if (b.operations.get(jobId) === undefined) return false
      return /cannot be written down yet/.test(JSON.stringify(await b.operations.log(jobId)))
    }
    await until(waits)
    expect(a.operations.get(jobId)?.state).toBe('running')
    renameSync(`${written}.away`, written)
    await a.operations.result(jobId, within(90))
    await expectOn(vmId, 'b', before)
  })

  test('the source stops while it does not know where the VM is: no other host may have it until it does', async () => {
    let asked = 0
    const { a, b, before, vmId } = await begin({
      a: {
        aroundTarget: (target) => ({
          ...target,
          finish: () => {
            asked++
            return Promise.reject(new AgentError('MIGRATION_PEER_UNAVAILABLE', 'the network is cut by the test'))
          },
        }),
      },
    })
    await a.migrations.start(migrationTo(b, vmId), within())
    await until(() => Promise.resolve(asked > 0))
    await pair.close('a')
    expect(await pair.leaseHolder(vmId)).toBe('host-a')
    // The next start asks on, and ends the migration: the target was never told to take it.
    await expectOn(vmId, 'a', before)
    expect(await pair.leaseHolder(vmId)).toBeUndefined()
  })

  test('the source finds its storage away after a restart: it gives its lease back when that is there again', async () => {
    const { b, before, vmId } = await begin()
    await pair.close('a')
    expect(await pair.child('a', 'moved', migrationTo(b, vmId)).ended).toEqual([null, 'SIGKILL'])
    expect(await pair.leaseHolder(vmId)).toBe('host-a')
    await pair.close('b')
    renameSync(pair.shared, `${pair.shared}.away`)
    const a = await pair.host('a', { sharedIsAway: true })
    const [{ id = '' } = {}] = a.operations.list(OUTGOING_KIND).filter(({ subject }) => subject === `vm ${vmId}`)
    await until(async () => JSON.stringify(await a.operations.log(id)).includes('which is not in use now'))
    expect(await stateOn(a, vmId)).toBe('absent')
    renameSync(`${pair.shared}.away`, pair.shared)
    await a.pools.init(sharedPool(pair.shared), context())
    await a.operations.result(id, within(90))
    expect(await pair.leaseHolder(vmId)).toBeUndefined()
    await expectOn(vmId, 'b', before)
  })

  test('the answer of the target is lost: the source asks until it has it, and the VM is there', async () => {
    let lost = 0
    const { a, b, before, vmId } = await begin({
      a: {
        aroundTarget: (target) => ({
          ...target,
          finish: async (...args) => {
            const outcome = await target.finish(...args)
            if (lost++ < 2) throw new AgentError('MIGRATION_PEER_UNAVAILABLE', 'the network is cut by the test')
            return outcome
          },
        }),
      },
    })
    await migrate(a, migrationTo(b, vmId))
    expect(lost).toBe(3)
    await expectOn(vmId, 'b', before)
  })
})
