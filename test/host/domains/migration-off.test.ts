import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { domainRef } from '../../../src/domains/libvirt-domain.ts'
import { VIR_DOMAIN_XML } from '../../../src/libvirt/constants.ts'
import { until } from '../../support/until.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import { context, POOL, vmFiles, within } from './agent-fixture.ts'
import { boots, migrate, migrationTo, SHARED, stateOn } from './migration-host.ts'
import { MigrationPair } from './migration-pair.ts'

const missing = await requirePrerequisite('libvirt', missingLibvirt)

// By default it gives up after a second.
const POLL = { timeout: 60_000 }
const CALL = { timeoutMs: 60_000 }
/** Only libvirt's own look at a definition reads it. */
const LOADER = '/usr/share/OVMF/OVMF_CODE.fd'

describe.skipIf(missing !== undefined)('a VM that is off and moves to another host', () => {
  let pair: MigrationPair
  beforeAll(async () => {
    pair = await MigrationPair.up(inject('libvirtDir') ?? '')
  }, 120_000)
  afterAll(() => pair.down())
  const hosts = async () => ({ a: await pair.host('a'), b: await pair.host('b') })

  test('on shared storage: it is off there, with its seed, log and marks, starts there, and nothing of it stays', async () => {
    const { a, b } = await hosts()
    const before = { a: await vmFiles(a), b: await vmFiles(b) }
    const vmId = await pair.running('a', SHARED)
    await a.vms.forceStop(vmId, within())
    await a.vms.setAutostart(vmId, true, within())
    const was = await a.vms.status(vmId, within())
    const seed = await readFile(path.join(a.base, 'state/vms', vmId, 'cloud-init.iso'))
    const told: string[] = []
    const over = new AbortController()
    const listening = [a, b].map(async (host) => {
      for await (const { type, vmId: about } of host.vms.events(over.signal)) if (about === vmId) told.push(type)
    })
    expect(await a.migrations.check(migrationTo(b, vmId), within())).toEqual([])
    expect(await migrate(a, migrationTo(b, vmId))).toEqual({})
    expect([await stateOn(a, vmId), await stateOn(b, vmId)]).toEqual(['absent', 'STOPPED'])
    await expect.poll(() => told.toSorted(), POLL).toEqual(['VM_MIGRATED_IN', 'VM_MIGRATED_OUT'])
    over.abort()
    await Promise.allSettled(listening)
    const { name, managed, autostart, labels } = was
    expect(await b.vms.status(vmId, within())).toMatchObject({ name, managed, autostart, labels })
    expect(autostart).toBe(true)
    expect(await readFile(path.join(b.base, 'state/vms', vmId, 'cloud-init.iso'))).toEqual(seed)
    expect(await vmFiles(a)).toEqual(before.a)
    expect(await pair.leaseHolder(vmId)).toBeUndefined()

    await b.vms.start(vmId, within())
    await until(async () => (await boots(b, vmId)) === 2)
    expect(await pair.leaseHolder(vmId)).toBe('host-b')
    await b.vms.delete(vmId, within())
    expect(await vmFiles(b)).toEqual(before.b)
    expect(await pair.sharedVolumes()).toEqual([])
  })

  test('on storage of its host: refused with what to do, and it stays as it is', async () => {
    const { a, b } = await hosts()
    const before = await vmFiles(b)
    const vmId = await pair.off('a', POOL)
    for (const copyStorage of [false, true]) {
      await expect(migrate(a, migrationTo(b, vmId, { copyStorage }))).rejects.toMatchObject({
        reason: 'MIGRATION_REFUSED',
        message: expect.stringContaining('copied only while the VM runs'),
      })
    }
    expect([await stateOn(a, vmId), await stateOn(b, vmId)]).toEqual(['STOPPED', 'absent'])
    expect(await vmFiles(b)).toEqual(before)
    await a.vms.delete(vmId, within())
  })

  test('what only its host has is told: saved memory, UEFI variables, a TPM', async () => {
    const { a, b } = await hosts()
    const vmId = await pair.running('a', SHARED)
    await a.vms.save(vmId, within())
    const problems = async () => (await a.migrations.check(migrationTo(b, vmId), within())).join()
    expect(await problems()).toContain('its memory is saved on this host')
    await a.vms.dropSaved(vmId, within())
    expect(await problems()).toBe('')
    const variables = path.join(a.base, 'state', 'variables.fd')
    const { xml } = await a.client.call('remote:DOMAIN_GET_XML_DESC', { dom: domainRef(vmId), flags: 0 }, CALL)
    const changed = xml
      .replace('</os>', `<loader readonly='yes' type='pflash'>${LOADER}</loader><nvram>${variables}</nvram></os>`)
      .replace('</devices>', `<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm></devices>`)
    await a.client.call('remote:DOMAIN_DEFINE_XML_FLAGS', { xml: changed, flags: 0 }, CALL)
    expect(await problems()).not.toContain('UEFI variables')
    await writeFile(variables, 'x')
    expect(await problems()).toContain('its UEFI variables are, or may be, in a file of this host')
    expect(await problems()).toContain('the state of its TPM')
    await a.vms.delete(vmId, within())
  })

  test('UEFI variables that its definition does not name are not lost: it stays', async () => {
    const { a, b } = await hosts()
    const vmId = await pair.off('a', SHARED, { firmware: 'uefi' })
    const readDefinition = () =>
      a.client.call('remote:DOMAIN_GET_XML_DESC', { dom: domainRef(vmId), flags: VIR_DOMAIN_XML.INACTIVE }, CALL)
    // As libvirt before 9.2 has it at all times.
    if ((await readDefinition()).xml.includes('<nvram')) {
      await a.vms.start(vmId, within())
      await a.vms.forceStop(vmId, within())
    }
    await expect(migrate(a, migrationTo(b, vmId))).rejects.toMatchObject({
      reason: 'MIGRATION_REFUSED',
      message: expect.stringContaining('its UEFI variables are, or may be, in a file of this host'),
    })
    expect([await stateOn(a, vmId), await stateOn(b, vmId)]).toEqual(['STOPPED', 'absent'])
    await a.vms.delete(vmId, within())
  })

  test('to an agent that knows no VMs that are off: refused before anything is made there', async () => {
    await pair.close('a')
    const opened: string[] = []
    const b = await pair.host('b')
    const a = await pair.host('a', {
      aroundTarget: (target) => ({
        ...target,
        check: ({ off: _, ...offer }, signal) => target.check({ ...offer, off: false }, signal),
        open: (offer, ...rest) => {
          opened.push(offer.vmId)
          return target.open(offer, ...rest)
        },
      }),
    })
    const vmId = await pair.off('a', SHARED)
    expect((await a.migrations.check(migrationTo(b, vmId), within())).join()).toContain('too old')
    await expect(migrate(a, migrationTo(b, vmId))).rejects.toMatchObject({ reason: 'MIGRATION_REFUSED' })
    expect(opened).toEqual([])
    await a.vms.delete(vmId, within())
    await pair.close('a')
  })

  test('with the lease of another host on it, it is not given away; nothing is left at the target', async () => {
    const { a, b } = await hosts()
    const before = await vmFiles(b)
    const vmId = await pair.off('a', SHARED)
    const { facts } = await a.inventory.entry(vmId, within())
    await b.leases?.keepSaved(facts, context())
    await expect(migrate(a, migrationTo(b, vmId))).rejects.toMatchObject({ reason: 'VM_RUNS_ELSEWHERE' })
    expect([await stateOn(a, vmId), await stateOn(b, vmId)]).toEqual(['STOPPED', 'absent'])
    expect(await vmFiles(b)).toEqual(before)
    await b.leases?.forget(facts, context())
    await a.vms.delete(vmId, within())
  })

  test('started by libvirt’s own means after it was taken: it is neither cut off nor its saved memory dropped, and it leaves when it is off', async () => {
    await pair.close('a')
    const b = await pair.host('b')
    const a = await pair.host('a', {
      aroundTarget: (target) => ({
        ...target,
        finish: async (...args) => {
          const outcome = await target.finish(...args)
          await a.client.call('remote:DOMAIN_CREATE_WITH_FLAGS', { dom: domainRef(vmId), flags: 0 }, CALL)
          return outcome
        },
      }),
    })
    const vmId = await pair.off('a', SHARED)
    const { jobId } = await a.migrations.start(migrationTo(b, vmId), within())
    await until(async () => /shut it down/.test(a.operations.get(jobId)?.progress?.phase ?? ''))
    expect([await stateOn(a, vmId), await stateOn(b, vmId)]).toEqual(['RUNNING', 'STOPPED'])
    await expect(b.vms.start(vmId, within())).rejects.toMatchObject({ reason: 'VM_RUNS_ELSEWHERE' })
    // As libvirt-guests does when the host is shut down.
    await a.client.call('remote:DOMAIN_MANAGED_SAVE', { dom: domainRef(vmId), flags: 0 }, CALL)
    await until(async () => /its memory was saved here/.test(a.operations.get(jobId)?.progress?.phase ?? ''))
    expect([await stateOn(a, vmId), await stateOn(b, vmId)]).toEqual(['STOPPED', 'STOPPED'])
    await a.client.call('remote:DOMAIN_CREATE_WITH_FLAGS', { dom: domainRef(vmId), flags: 0 }, CALL)
    await a.vms.forceStop(vmId, within())
    await a.operations.result(jobId, within())
    expect([await stateOn(a, vmId), await stateOn(b, vmId)]).toEqual(['absent', 'STOPPED'])
    await b.vms.start(vmId, within())
    await b.vms.delete(vmId, within())
    await pair.close('a')
  })
})
