import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { LibvirtClient } from '../../../src/libvirt/client.ts'
import {
  VIR_CONNECT_GET_ALL_DOMAINS_STATS,
  VIR_DOMAIN_EVENT,
  VIR_DOMAIN_STATE,
  VIR_ERR,
} from '../../../src/libvirt/constants.ts'
import { isUnsupported } from '../../../src/libvirt/errors.ts'
import { numberParam, readTypedParams } from '../../../src/libvirt/typed-params.ts'
import { uuidText } from '../../../src/libvirt/uuid.ts'
import { missingLibvirt } from '../require.ts'
import { liveClient, recordEvents } from './live.ts'

describe.skipIf(missingLibvirt() !== undefined)('the client on test:///default of a real libvirtd', () => {
  let client: LibvirtClient
  beforeAll(async () => {
    client = await liveClient('test:///default')
  })
  afterAll(() => client.close())

  const lookup = async () => (await client.call('remote:DOMAIN_LOOKUP_BY_NAME', { name: 'test' })).dom

  test('knows the version and lists what is there', async () => {
    expect(client.libVersion).toBeGreaterThan(6_000_000)
    const { domains } = await client.call('remote:CONNECT_LIST_ALL_DOMAINS', { need_results: 1, flags: 0 })
    expect(domains.map((dom) => dom.name)).toContain('test')
    expect(uuidText(domains[0]!.uuid)).toMatch(/^[0-9a-f-]{36}$/)
  })

  test('an unknown domain is error 42 with libvirt’s own text', async () => {
    await expect(client.call('remote:DOMAIN_LOOKUP_BY_NAME', { name: 'nope' })).rejects.toMatchObject({
      code: VIR_ERR.NO_DOMAIN,
      message: 'Domain not found',
    })
  })

  test('what the driver or an older daemon lacks is recognised, and the connection lives on', async () => {
    const dom = await lookup()
    const speed = client.call('remote:DOMAIN_MIGRATE_GET_MAX_SPEED', { dom, flags: 0 })
    expect(isUnsupported(await speed.catch((error: unknown) => error))).toBe(true)
    // Number 448 came with libvirt 10.2: "unknown procedure" before it, "not supported by the driver" after.
    const reload = client.call('remote:DOMAIN_GRAPHICS_RELOAD', { dom, type: 0, flags: 0 })
    expect(isUnsupported(await reload.catch((error: unknown) => error))).toBe(true)
    expect(await lookup()).toEqual(dom)
  })

  test('suspend and resume change the state and are told as events before their replies', async () => {
    const dom = await lookup()
    const events = await recordEvents(client, 'domain:LIFECYCLE')
    await client.call('remote:DOMAIN_SUSPEND', { dom })
    expect((await client.call('remote:DOMAIN_GET_STATE', { dom, flags: 0 })).state).toBe(VIR_DOMAIN_STATE.PAUSED)
    await client.call('remote:DOMAIN_RESUME', { dom })
    await events.until((event) => event.event === VIR_DOMAIN_EVENT.RESUMED)
    expect(events.seen.map((event) => event.event)).toEqual([VIR_DOMAIN_EVENT.SUSPENDED, VIR_DOMAIN_EVENT.RESUMED])
    await events.stop()
  })

  test('statistics come as typed parameters', async () => {
    const flags = VIR_CONNECT_GET_ALL_DOMAINS_STATS.RUNNING
    const { retStats } = await client.call('remote:CONNECT_GET_ALL_DOMAIN_STATS', { doms: [], stats: 0, flags })
    expect(numberParam(readTypedParams(retStats[0]!.params), 'state.state')).toBe(VIR_DOMAIN_STATE.RUNNING)
  })

  test('a read-only connection may look and not touch', async () => {
    const reader = await liveClient('test:///default', { readOnly: true })
    const dom = (await reader.call('remote:DOMAIN_LOOKUP_BY_NAME', { name: 'test' })).dom
    await expect(reader.call('remote:DOMAIN_SUSPEND', { dom })).rejects.toMatchObject({
      code: VIR_ERR.OPERATION_DENIED,
    })
    await reader.close()
  })

  test('thousands of calls of 64 callers are all answered, each with its own answer', async () => {
    const callers = Array.from({ length: 64 }, (_, i) => ['test', `nope-${i}`, 'test'][i % 3] ?? '')
    await Promise.all(
      callers.map(async (name) => {
        for (let i = 0; i < 50; i++) {
          const answer = client.call('remote:DOMAIN_LOOKUP_BY_NAME', { name })
          if (name === 'test') expect((await answer).dom.name).toBe('test')
          else await expect(answer).rejects.toMatchObject({ code: VIR_ERR.NO_DOMAIN })
        }
      }),
    )
  })

  test('a message far above one socket buffer goes and comes whole', async () => {
    const description = 'ü'.repeat(400_000)
    const xml = `<domain type='test'><name>lqx-big</name><description>${description}</description><memory>8192</memory><os><type>hvm</type></os></domain>`
    const { dom } = await client.call('remote:DOMAIN_DEFINE_XML_FLAGS', { xml, flags: 0 })
    const answer = await client.call('remote:DOMAIN_GET_XML_DESC', { dom, flags: 0 })
    expect(answer.xml).toContain(description)
    await client.call('remote:DOMAIN_UNDEFINE_FLAGS', { dom, flags: 0 })
  })

  test('pool and domain registrations whose ids collide do not mix their events', async () => {
    const domains = await recordEvents(client, 'domain:LIFECYCLE')
    const pools = await recordEvents(client, 'pool:LIFECYCLE')
    const { pool } = await client.call('remote:STORAGE_POOL_DEFINE_XML', {
      xml: '<pool type="dir"><name>lqx-pool</name><target><path>/lqx</path></target></pool>',
      flags: 0,
    })
    await pools.until((event) => event.pool.name === 'lqx-pool')
    await client.call('remote:STORAGE_POOL_UNDEFINE', { pool })
    expect(domains.seen).toEqual([])
    await domains.stop()
    await pools.stop()
  })
})
