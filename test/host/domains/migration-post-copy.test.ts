import { execFile, spawn } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { MIB } from '../../../src/core/bytes.ts'
import { domainRef } from '../../../src/domains/libvirt-domain.ts'
import { INCOMING_KIND } from '../../../src/domains/migration/incoming.ts'
import {
  VIR_DOMAIN_EVENT,
  VIR_DOMAIN_EVENT_SUSPENDED,
  VIR_DOMAIN_RUNNING,
  VIR_DOMAIN_STATE,
  VIR_ERR,
} from '../../../src/libvirt/constants.ts'
import { isLibvirtError } from '../../../src/libvirt/errors.ts'
import { uuidText } from '../../../src/libvirt/uuid.ts'
import { until } from '../../support/until.ts'
import { slowFault } from '../moments.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import { POOL, within } from './agent-fixture.ts'
import { makeBootImage } from './boot-sector.ts'
import { boots, echoes, migrate, migrationTo, SHARED, stateOn, type MigrationHost } from './migration-host.ts'
import { MigrationPair } from './migration-pair.ts'
import { downLibvirtd, giveQemuAllRights, upLibvirtd } from './private-libvirtd.ts'

const run = promisify(execFile)
const CALL = { timeoutMs: 60_000 }
// By default it gives up after a second.
const POLL = { timeout: 60_000 }
const split = { reason: 'MIGRATION_SPLIT' }
/** Half a minute of it is the transfer itself. */
const LONG = { timeout: 300_000 }

const missing =
  (await requirePrerequisite('libvirt', missingLibvirt)) ?? (await requirePrerequisite('userfaultfd', missingPostCopy))

describe.skipIf(missing !== undefined)('a VM whose memory takes longer to send than it may', LONG, () => {
  let pair: MigrationPair
  let libvirtDir = ''
  beforeAll(async () => {
    libvirtDir = await upLibvirtd()
    pair = await MigrationPair.up(libvirtDir)
    // Hosts let QEMU's own user use userfaultfd by a sysctl; one in which tests run may not.
    for (const directory of [libvirtDir, pair.libvirt.b]) await giveQemuAllRights(directory)
    await makeBootImage(path.join(pair.shared, 'images/boot.qcow2'), 'fills')
  }, 180_000)
  afterAll(async () => {
    await pair.down()
    await downLibvirtd(libvirtDir)
  })

  test('is switched over after its time, and fetches the rest from where it was', async () => {
    const { a, b } = { a: await pair.host('a'), b: await pair.host('b') }
    const vmId = await pair.running('a', SHARED)
    // Its memory is filled now: half a minute at a MiB per second.
    expect(await echoes(a, vmId, 'p')).toBe(true)
    let switched = 0
    const stop = await a.client.subscribe('domain:LIFECYCLE', ({ dom, event, detail }) => {
      const postCopy = event === VIR_DOMAIN_EVENT.SUSPENDED && detail === VIR_DOMAIN_EVENT_SUSPENDED.POSTCOPY
      if (postCopy && uuidText(dom.uuid) === vmId) switched++
    })
    const options = { bandwidthMibps: 1, postCopyAfterMs: 1_000 }
    await migrate(a, migrationTo(b, vmId, { options }))
    expect(switched).toBe(1)
    await stop()
    expect([await stateOn(a, vmId), await stateOn(b, vmId)]).toEqual(['absent', 'RUNNING'])
    expect(await echoes(b, vmId, 'q')).toBe(true)
    expect(await boots(b, vmId)).toBe(1)
    await b.vms.delete(vmId, within())
  })

  /** A guest that was switched over by a migration that takes half a minute more; `sourceQemu` is the process of the QEMU it came from. */
  const switched = async () => {
    const { a, b } = { a: await pair.host('a'), b: await pair.host('b') }
    const vmId = await pair.running('a', SHARED)
    expect(await echoes(a, vmId, 'p')).toBe(true)
    const { stdout } = await run('pgrep', ['-f', `^[^ ]*qemu-system[^ ]* .*${vmId}`])
    const outcome = migrate(a, migrationTo(b, vmId, { options: { bandwidthMibps: 1, postCopyAfterMs: 0 } }))
    outcome.catch(() => undefined)
    await until(async () => (await readState(b, vmId)) === `${VIR_DOMAIN_STATE.RUNNING}/${VIR_DOMAIN_RUNNING.POSTCOPY}`)
    return { a, b, vmId, outcome, sourceQemu: Number(stdout) }
  }
  const incoming = (b: MigrationHost, vmId: string) =>
    b.operations.list(INCOMING_KIND).find(({ subject }) => subject === `vm ${vmId}`)
  const marked = ({ base }: MigrationHost) => readdir(path.join(base, 'state/store/split-vms'))
  const startAnew = async (b: MigrationHost, vmId: string) => {
    await b.vms.forceStop(vmId, within())
    await b.vms.start(vmId, within())
    await until(async () => (await boots(b, vmId)) === 2)
  }

  test('whose way to the target breaks off stands still there, and what is left of it at the source is kept', async () => {
    const { a, b, vmId, outcome, sourceQemu } = await switched()
    const { name } = await a.vms.status(vmId, within())
    // QEMU shuts the connection down, as it is when the network breaks.
    const cmd = JSON.stringify({ execute: 'migrate-pause' })
    await a.client.call('qemu:DOMAIN_MONITOR_COMMAND', { dom: domainRef(vmId), cmd, flags: 0 }, CALL)
    await expect(outcome).rejects.toMatchObject({
      reason: 'MIGRATION_SPLIT',
      message: expect.stringContaining(`("${name}") stands still at the target host, waiting for memory`),
    })
    await until(async () => incoming(b, vmId)?.state === 'failed')
    expect(incoming(b, vmId)?.error).toMatchObject({ reason: 'MIGRATION_SPLIT' })
    expect([await stateOn(a, vmId), await stateOn(b, vmId)]).toEqual(['PAUSED', 'PAUSED'])
    await expect.poll(() => pair.leaseHolder(vmId), POLL).toBe('host-b')
    await expect(a.vms.resume(vmId, within(90))).rejects.toMatchObject(split)
    await expect(a.vms.delete(vmId, within())).rejects.toMatchObject(split)
    // Nothing of that changes with new agents.
    await pair.close('a')
    await pair.close('b')
    const anew = { a: await pair.host('a'), b: await pair.host('b') }
    expect([await stateOn(anew.a, vmId), await stateOn(anew.b, vmId)]).toEqual(['PAUSED', 'PAUSED'])
    expect(incoming(anew.b, vmId)?.error).toMatchObject({ reason: 'MIGRATION_SPLIT' })

    // From here on libvirt takes it for any VM that is off, as it does when the host has booted.
    process.kill(sourceQemu, 'SIGKILL')
    await until(async () => (await stateOn(anew.a, vmId)) === 'CRASHED')
    await pair.close('a')
    const after = await pair.host('a')
    for (const work of [
      () => after.vms.start(vmId, within()),
      () => after.vms.delete(vmId, within()),
      () => after.snapshots.create(vmId, { name: 's', description: '', includeMemory: undefined }, within()),
      () => after.snapshots.revert(vmId, 's', within()),
      () => after.snapshots.delete(vmId, 's', within()),
      () =>
        after.mover.move({ vmId, diskId: 'root', poolId: POOL, bytesPerSecond: 0, dropCheckpoints: false }, within()),
      () => after.devices.resizeDisk(vmId, 'root', 8 * MIB, within()),
      () => migrate(after, migrationTo(anew.b, vmId)),
    ])
      await expect(work()).rejects.toMatchObject({ ...split, message: expect.stringContaining(anew.b.origin) })
    expect(await stateOn(anew.b, vmId)).toBe('PAUSED')

    await startAnew(anew.b, vmId)
    await after.client.call('remote:DOMAIN_UNDEFINE_FLAGS', { dom: domainRef(vmId), flags: 0 }, CALL)
    expect(await pair.leaseHolder(vmId)).toBe('host-b')
    await until(async () => (await marked(after)).length === 0)
    // It may come back, and is a VM like any other then.
    await migrate(anew.b, migrationTo(after, vmId))
    expect(await echoes(after, vmId, 'q')).toBe(true)
    await after.vms.delete(vmId, within())
    expect(await pair.sharedVolumes()).toEqual([])
  })

  slowFault(
    'whose memory is lost with the QEMU at the source stands still at the target, and is nowhere else',
    async () => {
      const { a, b, vmId, outcome, sourceQemu } = await switched()
      process.kill(sourceQemu, 'SIGKILL')
      await expect(outcome).rejects.toMatchObject({
        reason: 'MIGRATION_SPLIT',
        message: expect.stringContaining('without the rest of its memory, which was lost'),
      })
      expect(incoming(b, vmId)?.error).toMatchObject({ reason: 'MIGRATION_SPLIT' })
      expect([await stateOn(a, vmId), await stateOn(b, vmId)]).toEqual(['absent', 'PAUSED'])
      expect(await marked(a)).toEqual([])
      await expect.poll(() => pair.leaseHolder(vmId), POLL).toBe('host-b')
      await startAnew(b, vmId)
      await b.vms.delete(vmId, within())
      expect(await pair.sharedVolumes()).toEqual([])
    },
  )
})

/** libvirt's state of a domain and its reason; `absent` when there is none. */
async function readState({ client }: MigrationHost, vmId: string): Promise<string> {
  const args = { dom: domainRef(vmId), flags: 0 }
  return client.call('remote:DOMAIN_GET_STATE', args, { ...CALL, mayOverlap: true }).then(
    ({ state, reason }) => `${state}/${reason}`,
    (error: unknown) => {
      if (isLibvirtError(error, VIR_ERR.NO_DOMAIN)) return 'absent'
      throw error
    },
  )
}

/** Why QEMU cannot receive a guest by post-copy on this host, even with all rights. */
async function missingPostCopy(): Promise<string | undefined> {
  const args = ['-machine', 'none', '-display', 'none', '-nodefaults', '-incoming', 'defer', '-qmp', 'stdio']
  const qemu = spawn('qemu-system-x86_64', args, { stdio: ['pipe', 'pipe', 'ignore'], timeout: 60_000 })
  const capability = { capability: 'postcopy-ram', state: true }
  for (const command of [
    { execute: 'qmp_capabilities' },
    { execute: 'migrate-set-capabilities', arguments: { capabilities: [capability] } },
    { execute: 'quit' },
  ])
    qemu.stdin.write(JSON.stringify(command))
  const answers = await text(qemu.stdout)
  return /"desc": "([^"]*)"/.exec(answers)?.[1]
}
