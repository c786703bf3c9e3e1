import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { agree, bindings } from '../../control-plane/agreement.ts'
import { startReplay, type Replay } from '../../control-plane/replay.ts'
import { readSession, writeSession } from '../../control-plane/session-file.ts'
import type { Exchange } from '../../control-plane/traffic.ts'

const exchange = (change: Partial<Exchange>): Exchange => ({
  ...{ at: 0, from: 'agent', agent: 'hv-1', over: 'connect', call: 'UpdateHeartbeat', request: {}, outcome: 'ok' },
  response: { acknowledged: true },
  ...change,
})

describe('a recording', () => {
  it('has one exchange a line in the order of the calls, variables for what differs, and no facts of the host', () => {
    const text = writeSession(
      [
        exchange({ at: 7, request: { path: '/tmp/x/pool/a', other: '/tmp/x/b' } }),
        exchange({ at: 3, call: 'RegisterNode', request: { hostname: 'hv-1', cpuInfo: { model: 'secret' } } }),
      ],
      { base: '/tmp/x', pool: '/tmp/x/pool' },
    )
    const lines = text.trimEnd().split('\n')
    expect(lines).toHaveLength(3)
    expect(text).not.toMatch(/secret|\/tmp/)
    const read = readSession(text, { base: '/srv', pool: '/mnt/p' })
    expect(read.map(({ call }) => call)).toEqual(['RegisterNode', 'UpdateHeartbeat'])
    expect(read[1]?.request).toEqual({ path: '/mnt/p/a', other: '/srv/b' })
  })

  it('keeps a variable that nobody gave until the other run has something in its place', () => {
    const [read] = readSession(writeSession([exchange({ response: { jobId: 'j-1' } })], { job: 'j-1' }), {})
    expect(read?.response).toEqual({ jobId: '${job}' })
    expect(bindings(read?.response, { jobId: 'j-2', more: 1 })).toEqual({ job: 'j-2' })
  })
})

describe('two runs of a session', () => {
  it.each<[string, unknown, unknown, boolean]>([
    ['another measurement', { totalBytes: 5 }, { totalBytes: 6 }, true],
    ['another time', { startedAt: '2026-01-01T00:00:00Z' }, { startedAt: '2027-01-01T00:00:00Z' }, true],
    ['a time that is missing', { completedAt: null }, { completedAt: '2027-01-01T00:00:00Z' }, false],
    ['another host', { cpuInfo: { model: 'a' } }, { cpuInfo: { model: 'b', sockets: 2 } }, true],
    ['another health', { health: 1 }, { health: 3 }, false],
    ['another status', { status: 'completed' }, { status: 'failed' }, false],
    ['a key that is missing', { a: 1, b: 2 }, { a: 1 }, false],
    ['a number that became a text', { bytesTotal: 5 }, { bytesTotal: '5' }, false],
    ['one element more', { storagePools: [] }, { storagePools: [{}] }, false],
  ])('%s', (_what, then, now, same) => {
    expect(agree(then, now)).toBe(same)
    expect(agree(now, then)).toBe(same)
  })
})

describe('a replay', () => {
  let agent: Server
  let status = 'completed'
  let replay: Replay | undefined
  const recorded = () => [
    exchange({ call: 'RegisterNode', request: { hostname: 'hv-1' }, response: { id: 'n-1' } }),
    exchange({
      ...{ from: 'control-plane', agent: `127.0.0.1:${(agent.address() as AddressInfo).port}`, over: 'http' },
      ...{ call: 'GET /job', request: null, outcome: '200', response: { status: 'completed', bytesTotal: 5 } },
    }),
    exchange({ request: { nodeId: 'n-1', storagePools: [] } }),
  ]
  const say = async (call: string, request: object): Promise<unknown> => {
    const url = `${replay?.url}/limiquantix.compute.v1.NodeService/${call}`
    const headers = { 'content-type': 'application/json' }
    return (await fetch(url, { method: 'POST', headers, body: JSON.stringify(request) })).json()
  }
  beforeEach(async () => {
    agent = createServer((_request, response) => response.end(JSON.stringify({ status, bytesTotal: 9 }))).listen(
      0,
      '127.0.0.1',
    )
    await once(agent, 'listening')
    replay = await startReplay(recorded(), 300)
  })
  afterEach(async () => {
    status = 'completed'
    await replay?.close()
    agent.closeAllConnections()
    agent.close()
  })

  it('answers as it was recorded, and finds no difference where there is none', async ({ signal }) => {
    expect(await say('RegisterNode', { hostname: 'hv-1' })).toEqual({ id: 'n-1' })
    expect(await say('UpdateHeartbeat', { nodeId: 'n-1', storagePools: [] })).toEqual({ acknowledged: true })
    expect(await replay?.play(signal)).toEqual([])
  })

  it('names what an agent does not say, says otherwise, answers otherwise, and never said before', async ({
    signal,
  }) => {
    status = 'failed'
    await say('UpdateHeartbeat', { nodeId: 'n-1' })
    await say('Novelty', {})
    const differences = await replay?.play(signal)
    expect(differences).toMatchObject([
      expect.stringMatching(/did not say RegisterNode .*nothing/),
      expect.stringMatching(/GET \/job was answered 200 .*completed.* 200 .*failed/),
      expect.stringMatching(/did not say UpdateHeartbeat .*storagePools/),
      expect.stringMatching(/called Novelty/),
    ])
  })
})

describe('a replay of faults', () => {
  const register = { call: 'RegisterNode', request: { hostname: 'hv-1' } }
  const recording = [
    exchange({ ...register, outcome: '503', response: 'Service Unavailable', headers: { 'retry-after': '7' } }),
    exchange({ ...register, response: { id: 'n-1' } }),
    exchange({ request: { nodeId: 'n-1' } }),
    exchange({ request: { nodeId: 'n-1' }, outcome: 'none', response: null }),
    exchange({ request: { nodeId: 'n-1' }, outcome: 'not_found', response: null }),
  ]

  it('answers them as they were, each until the next one, and finds no difference with who goes on', async ({
    signal,
  }) => {
    // Through the file that a recording is.
    const replay = await startReplay(readSession(writeSession(recording, {}), {}), 20_000)
    const seen: string[] = []
    const say = async (call: string, request: object): Promise<string> => {
      const url = `${replay.url}/limiquantix.compute.v1.NodeService/${call}`
      const headers = { 'content-type': 'application/json' }
      const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify(request) }).then(
        async (it) => [it.status, it.headers.get('retry-after') ?? '', await it.text()].join(' '),
        () => 'none',
      )
      if (seen.at(-1) !== answer) seen.push(answer)
      return answer
    }
    const until = async (call: string, request: object, wanted: string) => {
      while (!(await say(call, request)).startsWith(wanted)) signal.throwIfAborted()
    }
    try {
      const playing = replay.play(signal)
      await until('RegisterNode', register.request, '200')
      await until('UpdateHeartbeat', { nodeId: 'n-1' }, '404')
      expect(await playing).toEqual([])
      expect(seen).toEqual([
        ...['503 7 Service Unavailable', '200  {"id":"n-1"}', '200  {"acknowledged":true}', 'none'],
        '404  {"code":"not_found","message":"as recorded"}',
      ])
    } finally {
      await replay.close()
    }
  })
})
