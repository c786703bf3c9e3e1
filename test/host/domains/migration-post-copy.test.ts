import { spawn } from 'node:child_process'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { VIR_DOMAIN_EVENT, VIR_DOMAIN_EVENT_SUSPENDED } from '../../../src/libvirt/constants.ts'
import { uuidText } from '../../../src/libvirt/uuid.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import { within } from './agent-fixture.ts'
import { makeBootImage } from './boot-sector.ts'
import { boots, echoes, migrate, migrationTo, SHARED, stateOn } from './migration-host.ts'
import { MigrationPair } from './migration-pair.ts'
import { downLibvirtd, giveQemuAllRights, upLibvirtd } from './private-libvirtd.ts'

const missing =
  (await requirePrerequisite('libvirt', missingLibvirt)) ?? (await requirePrerequisite('userfaultfd', missingPostCopy))

describe.skipIf(missing !== undefined)('a VM whose memory takes longer to send than it may', () => {
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
})

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
