import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { AgentError } from '../../../src/core/errors.ts'
import { domainRef } from '../../../src/domains/libvirt-domain.ts'
import { INCOMING_KIND } from '../../../src/domains/migration/incoming.ts'
import type { MigrationTarget } from '../../../src/domains/migration/messages.ts'
import { OUTGOING_KIND } from '../../../src/domains/migration/outgoing.ts'
import { until } from '../../support/until.ts'
import { moments } from '../moments.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import { POOL, within } from './agent-fixture.ts'
import { echoes, heldPrepared, migrate, migrationTo, SHARED, stateOn, type MigrationHost } from './migration-host.ts'
import { MigrationPair } from './migration-pair.ts'

const run = promisify(execFile)
const missing = await requirePrerequisite('libvirt', missingLibvirt)
const CALL = { timeoutMs: 60_000 }

describe.skipIf(missing !== undefined)('a VM with snapshots that moves to another host', () => {
  let pair: MigrationPair
  beforeAll(async () => {
    pair = await MigrationPair.up(inject('libvirtDir') ?? '')
  }, 120_000)
  afterAll(() => pair.down())
  const hosts = async () => ({ a: await pair.host('a'), b: await pair.host('b') })

  /** Two snapshots, the second on the first, and what the host tells of them. */
  const take = async (host: MigrationHost, vmId: string, includeMemory?: boolean) => {
    for (const name of ['first', 'second'])
      await host.snapshots.create(vmId, { name, description: `${name} of two`, includeMemory }, within())
    // As in MigrationPair.off: the overlays are new.
    await run('chmod', ['-R', 'a+rwX', path.join(pair.shared, 'vms')])
    return told(host, vmId)
  }
  const told = async ({ client, snapshots }: MigrationHost, vmId: string) => {
    const all = await snapshots.list(vmId, within())
    // The definition of then names the directory that the VM has on its host.
    const list = all.map(({ id, name, description, createdAt, vmState, parentId, hasMemory }) => {
      return { id, name, description, createdAt, vmState, parentId, hasMemory }
    })
    const dom = domainRef(vmId)
    const { result } = await client.call('remote:DOMAIN_HAS_CURRENT_SNAPSHOT', { dom, flags: 0 }, CALL)
    if (result === 0) return { list, current: undefined }
    const { snap } = await client.call('remote:DOMAIN_SNAPSHOT_CURRENT', { dom, flags: 0 }, CALL)
    return { list, current: snap.name }
  }
  const remove = async (host: MigrationHost, vmId: string) => {
    await host.vms.delete(vmId, within())
    expect(await pair.sharedVolumes()).toEqual([])
  }
  /** No secrets of what was kept are left in the history of operations. */
  const expectForgotten = (...all: readonly MigrationHost[]) => {
    for (const { operations } of all)
      for (const { kind, journal } of operations.list())
        if ([OUTGOING_KIND, INCOMING_KIND].includes(kind))
          expect(JSON.stringify(journal ?? null)).not.toContain('domainsnapshot')
  }

  test('inside its disks, with memory: they are there, and it goes back to one', async () => {
    const { a, b } = await hosts()
    const vmId = await pair.running('a', SHARED)
    const before = await take(a, vmId)
    expect(before.list.map(({ id, parentId, hasMemory }) => [id, parentId, hasMemory])).toEqual([
      ['first', '', true],
      ['second', 'first', true],
    ])
    expect(await a.migrations.check(migrationTo(b, vmId), within())).toEqual([])
    await migrate(a, migrationTo(b, vmId))
    expect([await stateOn(a, vmId), await stateOn(b, vmId)]).toEqual(['absent', 'RUNNING'])
    expect(await told(b, vmId)).toEqual(before)
    expect(before.current).toBe('second')
    expectForgotten(a, b)
    await b.snapshots.revert(vmId, 'first', within())
    expect(await echoes(b, vmId, 'r')).toBe(true)
    expect(await told(b, vmId)).toEqual({ ...before, current: 'first' })
    await b.snapshots.delete(vmId, 'second', within())
    await remove(b, vmId)
  })

  test('in files of their own: they are there, and it goes back to one', async () => {
    const { a, b } = await hosts()
    const vmId = await pair.running('a', SHARED)
    const before = await take(a, vmId, false)
    await migrate(a, migrationTo(b, vmId))
    expect(await told(b, vmId)).toEqual(before)
    expect(await echoes(b, vmId, 'x')).toBe(true)
    await b.snapshots.revert(vmId, 'first', within())
    expect(await stateOn(b, vmId)).toBe('STOPPED')
    await b.vms.start(vmId, within())
    expect(await echoes(b, vmId, 'y')).toBe(true)
    await b.snapshots.delete(vmId, 'second', within())
    await remove(b, vmId)
  })

  test.each([
    ['inside its disks', undefined],
    ['in files of their own', false],
  ] as const)('off, %s: they are there, and it goes back to one', async (where, includeMemory) => {
    const { a, b } = await hosts()
    const vmId = await pair.running('a', SHARED)
    // Taken while it runs only the latter are such.
    if (where === 'inside its disks') await a.vms.forceStop(vmId, within())
    const before = await take(a, vmId, includeMemory)
    await a.vms.forceStop(vmId, within())
    await migrate(a, migrationTo(b, vmId))
    expect([await stateOn(a, vmId), await stateOn(b, vmId)]).toEqual(['absent', 'STOPPED'])
    expect(await told(b, vmId)).toEqual(before)
    expectForgotten(a, b)
    await b.snapshots.revert(vmId, 'first', within())
    await b.vms.start(vmId, within())
    expect(await echoes(b, vmId, 'o')).toBe(true)
    await remove(b, vmId)
  })

  test('with a copy of its storage: refused, and they stay', async () => {
    const { a, b } = await hosts()
    const vmId = await pair.running('a', POOL)
    await a.snapshots.create(vmId, { name: 's', description: '', includeMemory: true }, within())
    const before = await told(a, vmId)
    await expect(migrate(a, migrationTo(b, vmId, { copyStorage: true }))).rejects.toMatchObject({
      reason: 'MIGRATION_REFUSED',
      message: expect.stringContaining('1 snapshot(s), which cannot be copied with its storage'),
    })
    expect(await told(a, vmId)).toEqual(before)
    const postCopy = migrationTo(b, vmId, { copyStorage: true, options: { postCopyAfterMs: 0 } })
    expect(await a.migrations.check(postCopy, within())).toEqual([
      expect.stringContaining('cannot be copied with its storage'),
      expect.stringContaining('which would be lost if post-copy broke off'),
      expect.stringContaining('its storage is to be copied (vda), and if post-copy broke off'),
    ])
    await a.vms.delete(vmId, within())
  })

  /** The agent of host a, with something between it and what it asks of its target. */
  const around = async (change: (target: MigrationTarget) => Partial<MigrationTarget>) => {
    await pair.close('a')
    return pair.host('a', { aroundTarget: (target) => ({ ...target, ...change(target) }) })
  }

  test('to an agent that knows no snapshots: refused before anything is made there', async () => {
    const b = await pair.host('b')
    const a = await around((target) => ({
      check: ({ snapshots: _, ...offer }, signal) => target.check({ ...offer, snapshots: [] }, signal),
      open: () => Promise.reject(new Error('it was opened')),
    }))
    const vmId = await pair.running('a', SHARED)
    const before = await take(a, vmId)
    await expect(migrate(a, migrationTo(b, vmId))).rejects.toMatchObject({
      reason: 'MIGRATION_REFUSED',
      message: expect.stringContaining('too old for VMs with snapshots'),
    })
    expect(await told(a, vmId)).toEqual(before)
    await remove(a, vmId)
    await pair.close('a')
  })

  test('and fails, or is cancelled: they are where they were', async () => {
    const b = await pair.host('b')
    const held = heldPrepared()
    let fails = true
    const a = await around((target) => ({
      prepare: async (...args) => {
        // By now libvirt here has forgotten them.
        expect((await told(a, vmId)).list).toEqual([])
        if (fails) throw new AgentError('MIGRATION_FAILED', 'QEMU of the target does not start, says the test')
        return held.around(target).prepare(...args)
      },
    }))
    const vmId = await pair.running('a', SHARED)
    const before = await take(a, vmId)
    await expect(migrate(a, migrationTo(b, vmId))).rejects.toMatchObject({ reason: 'MIGRATION_FAILED' })
    expect(await told(a, vmId)).toEqual(before)
    fails = false
    await until(async () => b.operations.list(INCOMING_KIND).every(({ state }) => state !== 'running'))
    const { jobId } = await a.migrations.start(migrationTo(b, vmId), within())
    await Promise.race([held.waits, a.operations.wait(jobId, within(120))])
    expect((await a.operations.cancel(jobId, within())).state).toBe('cancelled')
    expect([await stateOn(a, vmId), await stateOn(b, vmId)]).toEqual(['RUNNING', 'absent'])
    expect(await told(a, vmId)).toEqual(before)
    expectForgotten(a, b)
    await remove(a, vmId)
    await pair.close('a')
  })

  test.each(
    moments([
      ['performing', 'a'],
      ['forgotten', 'a'],
      ['preparing', 'a'],
      ['moved', 'b'],
    ] as const),
  )('and the agent of the source is killed (%s): they are on %s, with the VM', async (point, where) => {
    const { a, b } = await hosts()
    const vmId = await pair.running('a', SHARED)
    const before = await take(a, vmId)
    await pair.close('a')
    const { ended } = pair.child('a', point, migrationTo(b, vmId))
    expect(await ended).toEqual([null, 'SIGKILL'])
    await expectOn(vmId, where, before)
  })

  test.each(
    moments([
      ['finished', 'b'],
      ['opened', 'a'],
      ['arrived', 'b'],
    ] as const),
  )('and the agent of the target is killed (%s): they are on %s, with the VM', async (point, where) => {
    const { a, b } = await hosts()
    const vmId = await pair.running('a', SHARED)
    const before = await take(a, vmId)
    const request = migrationTo(b, vmId)
    await pair.close('b')
    const { serving, ended } = pair.child('b', point)
    await serving
    const outcome = migrate(a, request).catch(() => undefined)
    expect(await ended).toEqual([null, 'SIGKILL'])
    await pair.host('b')
    await outcome
    await expectOn(vmId, where, before)
  })

  const expectOn = async (vmId: string, where: 'a' | 'b', before: Awaited<ReturnType<typeof told>>) => {
    const both = await hosts()
    for (const { operations } of Object.values(both))
      for (const { id, subject } of operations.list())
        if (subject === `vm ${vmId}`) await operations.wait(id, within(90))
    const other = where === 'a' ? 'b' : 'a'
    expect([await stateOn(both[where], vmId), await stateOn(both[other], vmId)]).toEqual(['RUNNING', 'absent'])
    expect(await told(both[where], vmId)).toEqual(before)
    expect(await echoes(both[where], vmId, 'e')).toBe(true)
    expectForgotten(both.a, both.b)
    await remove(both[where], vmId)
  }
})
