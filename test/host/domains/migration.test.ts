import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { MIB } from '../../../src/core/bytes.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import { until } from '../../support/until.ts'
import { newDisk, POOL, vmFiles, waitForBoot, within } from './agent-fixture.ts'
import { boots, echoes, migrate, migrationTo, SHARED, stateOn } from './migration-host.ts'
import { MigrationPair } from './migration-pair.ts'

const run = promisify(execFile)
const missing = await requirePrerequisite('libvirt', missingLibvirt)

// By default it gives up after a second.
const POLL = { timeout: 60_000 }

describe.skipIf(missing !== undefined)('a running VM that moves to another host', () => {
  let pair: MigrationPair
  beforeAll(async () => {
    pair = await MigrationPair.up(inject('libvirtDir') ?? '')
  }, 120_000)
  afterAll(() => pair.down())
  const hosts = async () => ({ a: await pair.host('a'), b: await pair.host('b') })

  test('on shared storage: it goes on there, with its seed and console log, and nothing but its disks stays', async () => {
    const { a, b } = await hosts()
    const before = { a: await vmFiles(a), b: await vmFiles(b) }
    const vmId = await pair.running('a', SHARED)
    expect(await echoes(a, vmId, 'x')).toBe(true)
    const seed = await readFile(path.join(a.base, 'state/vms', vmId, 'cloud-init.iso'))
    const told: string[] = []
    const over = new AbortController()
    const listening = [a, b].map(async (host) => {
      for await (const { type, vmId: about } of host.vms.events(over.signal))
        if (about === vmId && type.startsWith('VM_')) told.push(type)
    })
    const { downtimeMs } = await migrate(a, migrationTo(b, vmId))
    expect(downtimeMs).toBeGreaterThan(0)
    expect([await stateOn(a, vmId), await stateOn(b, vmId)]).toEqual(['absent', 'RUNNING'])
    // What comes and goes on the way is nobody's business but libvirt's.
    await expect.poll(() => told, POLL).toContain('VM_MIGRATED_IN')
    expect(told.filter((type) => !['VM_PAUSED', 'VM_MIGRATED_OUT'].includes(type))).toEqual(['VM_MIGRATED_IN'])
    over.abort()
    await Promise.allSettled(listening)
    expect(await echoes(b, vmId, 'y')).toBe(true)
    expect(await boots(b, vmId)).toBe(1)
    expect(await readFile(path.join(b.base, 'state/vms', vmId, 'cloud-init.iso'))).toEqual(seed)
    expect(await vmFiles(a)).toEqual(before.a)
    expect(await b.vms.status(vmId, within())).toMatchObject({ managed: true })
    await expect.poll(() => pair.leaseHolder(vmId), POLL).toBe('host-b')

    // And back: what it has there is its own.
    await migrate(b, migrationTo(a, vmId))
    expect(await echoes(a, vmId, 'z')).toBe(true)
    expect(await boots(a, vmId)).toBe(1)
    expect(await vmFiles(b)).toEqual(before.b)
    await a.vms.delete(vmId, within())
    expect(await vmFiles(a)).toEqual(before.a)
    expect(await pair.sharedVolumes()).toEqual([])
  })

  test('a paused one is paused there', async () => {
    const { a, b } = await hosts()
    const vmId = await pair.running('a', SHARED)
    await a.vms.pause(vmId, within())
    await migrate(a, migrationTo(b, vmId))
    expect([await stateOn(a, vmId), await stateOn(b, vmId)]).toEqual(['absent', 'PAUSED'])
    await b.vms.resume(vmId, within())
    expect(await echoes(b, vmId, 'p')).toBe(true)
    await b.vms.delete(vmId, within())
  })

  test('on storage of its host: refused, or with a copy of its disks, which are gone from the host it left', async () => {
    const { a, b } = await hosts()
    const before = { a: await vmFiles(a), b: await vmFiles(b) }
    const vmId = await pair.running('a', POOL)
    await expect(migrate(a, migrationTo(b, vmId))).rejects.toMatchObject({
      reason: 'MIGRATION_REFUSED',
      message: expect.stringContaining('storage of its host alone'),
    })
    expect(await vmFiles(b)).toEqual(before.b)
    await migrate(a, migrationTo(b, vmId, { copyStorage: true }))
    expect([await stateOn(a, vmId), await stateOn(b, vmId)]).toEqual(['absent', 'RUNNING'])
    expect(await echoes(b, vmId, 'c')).toBe(true)
    expect(await vmFiles(a)).toEqual(before.a)
    // The copy is whole: it boots without what was below it.
    await b.vms.forceStop(vmId, within())
    await b.vms.start(vmId, within())
    await until(async () => (await boots(b, vmId)) === 2)
    await b.vms.delete(vmId, within())
    expect(await vmFiles(b)).toEqual(before.b)
  })

  test('with limits, in both ways of switching', async () => {
    const { a, b } = await hosts()
    const vmId = await pair.running('a', SHARED)
    const options = { bandwidthMibps: 64, maxDowntimeMs: 2_000, autoConverge: true }
    await migrate(a, migrationTo(b, vmId, { options }))
    expect(await echoes(b, vmId, 'l')).toBe(true)
    await migrate(b, migrationTo(a, vmId, { live: false }))
    expect(await echoes(a, vmId, 's')).toBe(true)
    expect(await boots(a, vmId)).toBe(1)
    await a.vms.delete(vmId, within())
  })

  test('every obstacle is told before anything changes', async () => {
    const { a, b } = await hosts()
    const vmId = await pair.running('a', POOL)
    await a.snapshots.create(vmId, { name: 's', description: '', includeMemory: true }, within())
    const before = await vmFiles(b)
    const copied = { copyStorage: true }
    const problems = await a.migrations.check(migrationTo(b, vmId, copied), within())
    expect(problems.join()).toContain('1 snapshot(s)')
    await expect(migrate(a, migrationTo(b, vmId, copied))).rejects.toMatchObject({ reason: 'MIGRATION_REFUSED' })
    await expect(migrate(a, migrationTo(a, vmId))).rejects.toMatchObject({ reason: 'MIGRATION_REFUSED' })
    await a.snapshots.delete(vmId, 's', within())
    expect(await a.migrations.check(migrationTo(b, vmId, copied), within())).toEqual([])
    expect((await a.migrations.check(migrationTo(a, vmId), within())).join()).toContain('a VM with its id')
    await expect(
      a.migrations.check(migrationTo({ origin: 'http://127.0.0.1:1' }, vmId), within()),
    ).rejects.toMatchObject({
      reason: 'MIGRATION_PEER_UNAVAILABLE',
    })
    expect(await vmFiles(b)).toEqual(before)
    await a.vms.delete(vmId, within())
  })

  test('cancelled while its disk is copied: it goes on where it is, and nothing is left there', async () => {
    const { a, b } = await hosts()
    const backingFile = path.join(a.base, 'images/boot.qcow2')
    const vmId = await pair.off('a', POOL, { disks: [newDisk({ sizeBytes: 16 * MIB, bootable: true, backingFile })] })
    const [disk] = (await a.vms.status(vmId, within())).disks
    // Of what is empty QEMU has nothing to copy.
    await run('qemu-io', ['-f', 'qcow2', '-c', 'write -P 0xaa 1M 12M', disk?.path ?? ''])
    await a.vms.start(vmId, within())
    await waitForBoot(a, vmId)
    const before = await vmFiles(b)
    // 12 MiB of disk and less than one of memory, at a MiB per second.
    const request = migrationTo(b, vmId, { copyStorage: true, options: { bandwidthMibps: 1 } })
    const { jobId } = await a.migrations.start(request, within())
    await until(async () => a.operations.get(jobId)?.progress?.phase === 'transferring')
    const { state } = await a.operations.cancel(jobId, within())
    expect(state).toBe('cancelled')
    expect([await stateOn(a, vmId), await stateOn(b, vmId)]).toEqual(['RUNNING', 'absent'])
    expect(await echoes(a, vmId, 'k')).toBe(true)
    expect(await vmFiles(b)).toEqual(before)
    await migrate(a, migrationTo(b, vmId, { copyStorage: true }))
    expect(await echoes(b, vmId, 'm')).toBe(true)
    await b.vms.delete(vmId, within())
  })

  test('one that was not announced is not let in; announced once, it comes once', async () => {
    await pair.close('b')
    const a = await pair.host('a')
    const b = await pair.host('b', { acceptUnannounced: false })
    try {
      const vmId = await pair.running('a', SHARED)
      const refusal = { reason: 'MIGRATION_NOT_EXPECTED' }
      await expect(migrate(a, migrationTo(b, vmId))).rejects.toMatchObject(refusal)
      const { token } = await b.migrations.announce(vmId, within())
      await expect(migrate(a, migrationTo(b, vmId))).rejects.toMatchObject(refusal)
      expect(() => b.migrations.receive(`${token.slice(1)}x`, vmId)).toThrow('the token is not that')
      b.migrations.receive(token, vmId)
      await migrate(a, migrationTo(b, vmId))
      expect(await echoes(b, vmId, 'a')).toBe(true)
      await b.vms.delete(vmId, within())
      const next = await pair.running('a', SHARED)
      await expect(migrate(a, migrationTo(b, next))).rejects.toMatchObject(refusal)
      await a.vms.delete(next, within())
    } finally {
      await pair.close('b')
    }
  })
})
