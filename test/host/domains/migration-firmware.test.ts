import { readFile, readdir, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import type { MigrationTarget } from '../../../src/domains/migration/messages.ts'
import { missingCommand, missingLibvirt, requirePrerequisite } from '../require.ts'
import { within } from './agent-fixture.ts'
import { beginMigration, expectOnlyOn, type SideOptions } from './broken-migration.ts'
import { FIRMWARE_GUEST, inShell, keptByLibvirt, waitForOutput, waitForShell } from './firmware-guest.ts'
import { heldPrepared, migrate, migrationTo, SHARED, stateOn } from './migration-host.ts'
import { MigrationPair } from './migration-pair.ts'
import { killLibvirtd, startLibvirtd } from './private-libvirtd.ts'

const missing =
  (await requirePrerequisite('libvirt', missingLibvirt)) ??
  (await requirePrerequisite('swtpm', missingCommand('swtpm')))

/** Each start of the firmware is a good part of it. */
const LONG = { timeout: 300_000 }
const VARIABLE = 'setvar kept -guid 7aa35a50-08c4-4ee3-9c0b-2f6d3a7e5b11'

describe.skipIf(missing !== undefined)('a VM with UEFI variables and a TPM that moves to another host', LONG, () => {
  let pair: MigrationPair
  beforeAll(async () => {
    pair = await MigrationPair.up(inject('libvirtDir') ?? '')
  }, 120_000)
  afterAll(() => pair.down())

  /** A guest of firmware, which has written variables and used its TPM by the time that its shell is there. */
  const running = async () => {
    const vmId = await pair.off('a', SHARED, { ...FIRMWARE_GUEST, tpm: true })
    const a = await pair.host('a')
    await a.vms.start(vmId, within())
    await waitForShell(a, vmId)
    return vmId
  }
  const keptOn = async () => ({ a: await keptByLibvirt(pair.libvirt.a), b: await keptByLibvirt(pair.libvirt.b) })
  /** Variables and TPM state of the one VM that a host has, and who may read them. */
  const stateFiles = async (libvirtDir: string, vmId: string) => {
    const nvram = path.join(libvirtDir, 'lib/qemu/nvram')
    const [variables = ''] = (await readdir(nvram)).filter((name) => name.includes(vmId.slice(0, 8)))
    const files = [path.join(nvram, variables), path.join(libvirtDir, 'lib/swtpm', vmId, 'tpm2/tpm2-00.permall')]
    return Promise.all(
      files.map(async (file) => {
        const { uid, gid, mode } = await stat(file)
        return { uid, gid, others: mode & 0o007, content: (await readFile(file)).toString('base64') }
      }),
    )
  }

  test('they go along, and nothing of them stays', async () => {
    const { a, b } = { a: await pair.host('a'), b: await pair.host('b') }
    const before = await keptOn()
    const vmId = await running()
    await inShell(a, vmId, `${VARIABLE} -bs -rt -nv =0x5a5ac3`)
    const state = await stateFiles(pair.libvirt.a, vmId)
    await migrate(a, migrationTo(b, vmId))
    expect([await stateOn(a, vmId), await stateOn(b, vmId)]).toEqual(['absent', 'RUNNING'])
    expect(await stateFiles(pair.libvirt.b, vmId)).toEqual(state)
    expect((await keptOn()).a).toEqual(before.a)
    // The guest goes on with them, and so does its next start there.
    expect(await inShell(b, vmId, VARIABLE)).toContain('C3 5A 5A 00')
    await b.vms.forceStop(vmId, within())
    await rm(path.join(b.base, 'state/vms', vmId, 'console.log'))
    await b.vms.start(vmId, within())
    await waitForShell(b, vmId)
    expect(await inShell(b, vmId, VARIABLE)).toContain('C3 5A 5A 00')
    await b.vms.delete(vmId, within())
    expect(await keptOn()).toEqual(before)
  })

  test('with Secure Boot, and back', async () => {
    const { a, b } = { a: await pair.host('a'), b: await pair.host('b') }
    const before = await keptOn()
    const vmId = await pair.off('a', SHARED, { ...FIRMWARE_GUEST, tpm: true, secureBoot: true })
    await a.vms.start(vmId, within())
    await waitForOutput(a, vmId, 'BdsDxe')
    await migrate(a, migrationTo(b, vmId))
    await migrate(b, migrationTo(a, vmId))
    expect([await stateOn(a, vmId), await stateOn(b, vmId)]).toEqual(['RUNNING', 'absent'])
    expect((await keptOn()).b).toEqual(before.b)
    await a.vms.delete(vmId, within())
    expect(await keptOn()).toEqual(before)
  })

  test('firmware that the target does not have is told before anything changes', async () => {
    const missingFirmware = (target: MigrationTarget): MigrationTarget => ({
      ...target,
      check: (offer, signal) => {
        const liveXml = offer.liveXml.replaceAll('/OVMF_', '/NOVMF_')
        return target.check({ ...offer, liveXml }, signal)
      },
    })
    await pair.close('a')
    const a = await pair.host('a', { aroundTarget: missingFirmware })
    const b = await pair.host('b')
    const before = await keptOn()
    const vmId = await pair.off('a', SHARED, FIRMWARE_GUEST)
    await a.vms.start(vmId, within())
    const problems = (await a.migrations.check(migrationTo(b, vmId), within())).join()
    expect(problems).toMatch(/does not have its firmware "\S+NOVMF_CODE\S+".*does not have its firmware "\S+NOVMF_VARS/)
    await expect(migrate(a, migrationTo(b, vmId))).rejects.toMatchObject({ reason: 'MIGRATION_REFUSED' })
    expect((await keptOn()).b).toEqual(before.b)
    await a.vms.delete(vmId, within())
    await pair.close('a')
  })

  /** A migration that is about to begin, and what libvirt has then. */
  const begin = async (options: SideOptions = {}) => {
    const kept = await keptOn()
    const begun = await beginMigration(pair, running, options)
    return { ...begun, kept, state: await stateFiles(pair.libvirt.a, begun.vmId) }
  }
  /** The VM is on one host with its variables and TPM as they were, and libvirt of the other one keeps nothing of it. */
  const expectOn = async (where: 'a' | 'b', { vmId, before, kept, state }: Awaited<ReturnType<typeof begin>>) => {
    const other = where === 'a' ? 'b' : 'a'
    await expectOnlyOn(pair, { vmId, where, state: 'RUNNING', before }, async () => {
      expect((await keptOn())[other]).toEqual(kept[other])
      expect(await stateFiles(pair.libvirt[where], vmId)).toEqual(state)
    })
    expect(await keptOn()).toEqual(kept)
  }

  test('cancelled when QEMU waits there: they stay where they are, and nothing of them is there', async () => {
    const held = heldPrepared()
    const vm = await begin({ a: { aroundTarget: held.around } })
    const { a, b, vmId } = vm
    const { jobId } = await a.migrations.start(migrationTo(b, vmId), within())
    await Promise.race([held.waits, a.operations.wait(jobId, within(120))])
    // What is to be removed is there.
    expect((await keptOn()).b).toHaveLength(vm.kept.b.length + 2)
    expect((await a.operations.cancel(jobId, within())).state).toBe('cancelled')
    await expectOn('a', vm)
  })

  test('the agent of the target is killed when QEMU waits there: they stay where they are', async () => {
    const vm = await begin()
    const request = migrationTo(vm.b, vm.vmId)
    await pair.close('b')
    const { serving, ended } = pair.child('b', 'prepared')
    await serving
    const outcome = migrate(vm.a, request)
    outcome.catch(() => undefined)
    expect(await ended).toEqual([null, 'SIGKILL'])
    await pair.host('b')
    await expect(outcome).rejects.toThrow()
    await expectOn('a', vm)
  })

  test.each(['prepared', 'finishing'] as const)(
    'libvirtd of the target is killed (%s): they are where the VM is, and nowhere else',
    async (point) => {
      let back: Promise<unknown> = Promise.resolve()
      const onIncomingStep = (name: string) => {
        if (name === point) back = killLibvirtd(pair.libvirt.b).then(() => startLibvirtd(pair.libvirt.b))
      }
      const vm = await begin({ b: { onIncomingStep } })
      const outcome = await migrate(vm.a, migrationTo(vm.b, vm.vmId)).then(
        () => 'b' as const,
        () => 'a' as const,
      )
      await back
      await vm.b.client.ready(within())
      await expectOn(outcome, vm)
    },
  )
})
