import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { HTML_PAGE, maintenance } from '../../control-plane/faults.ts'
import { startReplay } from '../../control-plane/replay.ts'
import { readSession, writeSession } from '../../control-plane/session-file.ts'
import { startStandInControlPlane } from '../../control-plane/stand-in.ts'
import type { AgentProcess } from '../../support/agent-process.ts'
import { loopbackAddress, startLoopbackAgent } from './loopback-agents.ts'

const address = loopbackAddress(12)

let directory: string
let agent: AgentProcess | undefined

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'lqx-faults-'))
  await chmod(directory, 0o711)
})
afterEach(async () => {
  await agent?.stop()
  await rm(directory, { recursive: true, force: true })
})

const start = async (controlPlane: string, name: string) => {
  const where = { controlPlane, directory: path.join(directory, name) }
  agent = await startLoopbackAgent({ address, hostname: 'hv-faults', ...where })
}

/** A host whose registration is put off, and one of whose heartbeats is answered with a web page. */
async function record(signal: AbortSignal): Promise<string> {
  const cp = await startStandInControlPlane({ heartbeatIntervalSecs: 5 })
  const heard = (call: string, outcome: string) =>
    cp.traffic.waitFor((each) => each.call === call && each.outcome === outcome, signal, cp.traffic.exchanges.length)
  try {
    cp.setFault(maintenance(1), 'RegisterNode')
    const refused = heard('RegisterNode', '503')
    await start(cp.url, 'recorded')
    await refused
    const beat = heard('UpdateHeartbeat', 'ok')
    cp.setFault(undefined, 'RegisterNode')
    await beat
    cp.setFault(HTML_PAGE, 'UpdateHeartbeat')
    await heard('UpdateHeartbeat', '200')
    const again = heard('UpdateHeartbeat', 'ok')
    cp.setFault(undefined, 'UpdateHeartbeat')
    await again
    return writeSession(cp.traffic.exchanges, {})
  } finally {
    await agent?.stop()
    await cp.close()
  }
}

test('what was answered by a fault is in the recording, and another agent goes the same way through it', async ({
  signal,
}) => {
  const text = await record(signal)
  const exchanges = readSession(text, {})
  const outcomes = (call: string) =>
    exchanges
      .filter((each) => each.call === call)
      .map(({ outcome }) => outcome)
      .filter((outcome, index, all) => outcome !== all[index - 1])
  expect(outcomes('RegisterNode')).toEqual(['503', 'ok'])
  expect(exchanges[0]).toMatchObject({ headers: { 'retry-after': '1' }, response: 'Service Unavailable' })
  expect(outcomes('UpdateHeartbeat')).toEqual(['ok', '200', 'ok'])

  const replay = await startReplay(exchanges)
  try {
    await start(replay.url, 'replayed')
    expect(await replay.play(signal)).toEqual([])
  } finally {
    await replay.close()
  }
  const warned = agent?.log.filter(({ msg }) => msg === 'registration failed' || msg === 'heartbeat failed')
  expect(warned?.map(({ msg }) => msg)).toEqual(expect.arrayContaining(['registration failed', 'heartbeat failed']))
}, 240_000)
