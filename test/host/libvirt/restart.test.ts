import { execFile } from 'node:child_process'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { LibvirtClient } from '../../../src/libvirt/client.ts'
import { VIR_DOMAIN_EVENT, VIR_DOMAIN_START } from '../../../src/libvirt/constants.ts'
import { missingLibvirt } from '../require.ts'
import { liveClient, qemuPid, recordEvents, removeGuest, tinyGuestXml } from './live.ts'

const run = promisify(execFile)
const host = join(import.meta.dirname, '../../../scripts/libvirt-host')

// A daemon of its own, since this one is killed.
describe.skipIf(missingLibvirt() !== undefined)('a libvirtd that is killed and started again', () => {
  let directory: string
  let client: LibvirtClient
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'lqx-restart-'))
    await chmod(directory, 0o711)
    await run(host, ['up', directory, '--domain-type', 'qemu'])
    client = await liveClient('qemu:///system', {}, directory)
  })
  afterAll(async () => {
    await client.close()
    await run(host, ['down', directory])
    await rm(directory, { recursive: true, force: true })
  })

  test('a call in flight has an unknown outcome; guests, events and calls come back after the resync', async () => {
    const events = await recordEvents(client, 'domain:LIFECYCLE')
    const { dom: defined } = await client.call('remote:DOMAIN_DEFINE_XML_FLAGS', { xml: tinyGuestXml(), flags: 0 })
    const { dom } = await client.call('remote:DOMAIN_CREATE_WITH_FLAGS', {
      dom: defined,
      flags: VIR_DOMAIN_START.PAUSED,
    })
    const phases: string[] = []
    let listed: string[] = []
    const again = Promise.withResolvers<void>()
    client.onState(({ phase }) => {
      phases.push(phase)
      if (phase === 'connected') again.resolve()
    })
    client.onResync(async (signal) => {
      const { domains } = await client.call(
        'remote:CONNECT_LIST_ALL_DOMAINS',
        { need_results: 1, flags: 0 },
        { signal },
      )
      listed = domains.map((each) => each.name)
    })

    // A call that cannot be answered before the daemon dies.
    process.kill(await qemuPid(dom.name), 'SIGSTOP')
    const outcome = client
      .call('qemu:DOMAIN_MONITOR_COMMAND', { dom, cmd: '{"execute":"query-status"}', flags: 0 })
      .catch((e: unknown) => e)
    await client.call('remote:DOMAIN_GET_STATE', { dom, flags: 0 })
    await run(host, ['kill', directory])
    expect(await outcome).toMatchObject({ name: 'LibvirtGone', outcomeUnknown: true })
    await expect(client.call('remote:DOMAIN_GET_STATE', { dom, flags: 0 })).rejects.toMatchObject({
      name: 'LibvirtGone',
      outcomeUnknown: false,
    })

    process.kill(await qemuPid(dom.name), 'SIGCONT')
    await run(host, ['start', directory])
    await again.promise
    expect(listed).toContain(dom.name)
    expect([...new Set(phases)]).toEqual(['disconnected', 'resyncing', 'connected'])
    await client.call('remote:DOMAIN_RESUME', { dom })
    await events.until((event) => event.event === VIR_DOMAIN_EVENT.RESUMED)
    await removeGuest(client, dom)
    await events.until((event) => event.event === VIR_DOMAIN_EVENT.UNDEFINED)
  })
})
