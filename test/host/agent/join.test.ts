import { execFile } from 'node:child_process'
import { chmod, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { discoverHost } from '../../control-plane/discover-host.ts'
import { NodeClient } from '../../control-plane/node-client.ts'
import { startStandInControlPlane, type StandInControlPlane } from '../../control-plane/stand-in.ts'
import { startAgent, type AgentProcess } from '../../support/agent-process.ts'
import { until } from '../../support/until.ts'

const run = promisify(execFile)
const PROGRAM = path.join(import.meta.dirname, '../../../bin/limiquantix-node')
const SETTINGS = {
  hypervisor: { libvirt_uri: 'qemu+unix:///system?socket=/nowhere/libvirt-sock' },
  node: { hostname: 'hv-join', management_ip: '127.0.0.1' },
}

let directory: string
let cp: StandInControlPlane
let agent: AgentProcess

const start = async (config: object = {}) => {
  agent = await startAgent({ directory, config: { ...SETTINGS, ...config } })
}

/** Runs the program as an admin does. */
async function command(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  try {
    const { stdout, stderr } = await run(PROGRAM, [...args, '--config', agent.configFile])
    return { code: 0, out: stdout, err: stderr }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
    return { code, out: stdout, err: stderr }
  }
}

const newToken = async () => /^Token: +(\S+)$/m.exec((await command('token')).out)?.[1] ?? ''

const heartbeat = () => cp.waitForHeartbeat(AbortSignal.timeout(60_000))

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'lqx-agent-'))
  await chmod(directory, 0o711)
  cp = await startStandInControlPlane({ heartbeatIntervalSecs: 5 })
})
afterEach(async () => {
  await agent.stop()
  await cp.close()
  await rm(directory, { recursive: true, force: true })
})

describe('the commands of an admin', { timeout: 120_000 }, () => {
  it('join starts heartbeats that go on after a restart; leave ends them and keeps pools', async () => {
    await start()
    expect((await command('status')).out).toMatch(/control plane: +none/)
    const node = new NodeClient(agent.grpcAddress)
    const local = { path: path.join(directory, 'pool') }
    await node.call('InitStoragePool', { poolId: 'kept', type: 'STORAGE_POOL_TYPE_LOCAL_DIR', config: { local } })
    node.close()

    const first = heartbeat()
    expect(await command('join', `${cp.url}/`)).toMatchObject({ code: 0, err: '' })
    const { nodeId } = await first
    const said = await until(async () => {
      const { out } = await command('status')
      return /link: +connected/.test(out) ? out : undefined
    })
    expect(said).toContain(nodeId)
    expect(await command('join', cp.url)).toMatchObject({ code: 0 })

    agent.kill('SIGKILL')
    await agent.exited
    await start()
    expect((await heartbeat()).nodeId).toBe(nodeId)

    expect(await command('leave')).toMatchObject({ code: 0, err: '' })
    const records = await readdir(path.join(agent.stateDir, 'store/control-plane'))
    expect(records.filter((name) => name.endsWith('.json'))).toEqual([])
    const told = cp.requests.length
    expect((await command('status')).out).toMatch(/control plane: +none/)
    expect(await command('leave')).toMatchObject({ code: 0 })
    await agent.stop()
    await start()
    await until(() => Promise.resolve(agent.log.some(({ msg }) => msg === 'ready')))
    const again = new NodeClient(agent.grpcAddress)
    const { pools } = await again.call<{ pools: { poolId: string }[] }>('ListStoragePools')
    again.close()
    expect(pools.map(({ poolId }) => poolId)).toContain('kept')
    expect(cp.requests.length).toBe(told)
    expect(cp.violations).toEqual([])
  })

  it('join fails with what to do, and leaves the host as it was', async () => {
    await start()
    await cp.pause()
    expect(await command('join', cp.url)).toMatchObject({
      code: 1,
      err: expect.stringMatching(/CONTROL_PLANE_UNAVAILABLE/) as string,
    })
    expect((await command('status')).out).toMatch(/control plane: +none/)
    await cp.resume()
    expect(await command('join', 'ftp://x')).toMatchObject({ code: 1, err: expect.stringMatching(/http/) as string })
    expect((await command('join')).code).toBe(2)
    const other = await startStandInControlPlane()
    expect(await command('join', cp.url)).toMatchObject({ code: 0 })
    expect((await command('join', other.url)).err).toMatch(/limiquantix-node leave.*JOIN_CONFLICT/)
    expect(other.requests).toEqual([])
    await other.close()
  })

  it('the configuration file has the last word', async () => {
    await start({ control_plane: { address: cp.url, registration_enabled: true } })
    await heartbeat()
    expect((await command('leave')).err).toMatch(/registration_enabled.*JOIN_CONFLICT/)
    expect((await command('join', 'http://127.0.0.1:1')).err).toMatch(/configuration file.*JOIN_CONFLICT/)
    expect((await command('status')).out).toMatch(/\(by configuration\)/)
  })

  it('say so when no agent runs', async () => {
    await start()
    await agent.stop()
    for (const name of ['status', 'token', 'leave']) {
      expect(await command(name)).toMatchObject({ code: 1, err: expect.stringMatching(/systemctl start/) as string })
    }
  })
})

describe('adding a host from the control plane', { timeout: 120_000 }, () => {
  it('takes the token that the command printed, any number of times, until the host is registered', async () => {
    await start()
    expect(await discoverHost(agent.httpUrl, 'QUANTIX-AAAA-AAAA-AAAA')).toMatchObject({ code: 'TOKEN_MISSING' })
    const token = await newToken()
    expect(await discoverHost(agent.httpUrl, 'QUANTIX-AAAA-AAAA-AAAA')).toMatchObject({ code: 'TOKEN_INVALID' })
    for (let round = 0; round < 2; round++) {
      const found = await discoverHost(agent.httpUrl, token)
      expect(found).toMatchObject({ ok: true, host: { hostname: 'hv-join', managementIp: '127.0.0.1' } })
    }
    agent.kill('SIGKILL')
    await agent.exited
    await start()
    expect(await discoverHost(agent.httpUrl, token)).toMatchObject({ ok: true })
    expect((await command('join', cp.url, '--token', 'QUANTIX-BBBB-BBBB-BBBB')).err).toMatch(/TOKEN_INVALID/)
    expect(await command('join', cp.url, '--token', token)).toMatchObject({ code: 0 })
    expect(await discoverHost(agent.httpUrl, token)).toMatchObject({ code: 'TOKEN_INVALID' })

    const secret = token.slice('QUANTIX-'.length)
    expect(JSON.stringify(agent.log)).not.toContain(secret)
    const store = path.join(agent.stateDir, 'store/join-tokens')
    for (const name of await readdir(store)) {
      expect(await readFile(path.join(store, name), 'utf8')).not.toContain(secret)
      expect((await stat(path.join(store, name))).mode & 0o777).toBe(0o600)
    }
  })

  it('completes over HTTP with the token', async () => {
    await start()
    const body = { token: await newToken(), controlPlaneAddress: cp.url, nodeId: 'x', clusterName: 'c1' }
    const complete = () =>
      fetch(`${agent.httpUrl}/api/v1/registration/complete`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
    const beat = heartbeat()
    const answer = await complete()
    expect([answer.status, await answer.json()]).toMatchObject([200, { success: true, hostname: 'hv-join' }])
    await beat
    expect((await complete()).status).toBe(401)
  })

  it('serves the routes of the socket to root', async () => {
    await start()
    const made = await onSocket('/api/v1/cluster/generate-token')
    expect(made).toMatchObject({
      hostName: 'hv-join',
      token: expect.stringMatching(/^QUANTIX(-[A-Z2-7]{4}){4}$/) as string,
    })
    expect(await onSocket('/api/v1/cluster/test-connection', { controlPlaneUrl: cp.url })).toMatchObject({
      success: true,
    })
    const dead = await onSocket('/api/v1/cluster/test-connection', { controlPlaneUrl: 'http://127.0.0.1:1' })
    expect(dead).toMatchObject({ success: false, message: expect.stringContaining('cannot be reached') as string })
    expect(cp.fleet.nodes.size).toBe(0)
  })
})

async function onSocket(url: string, body?: object): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const outgoing = request({
      socketPath: path.join(agent.stateDir, 'run/agent.sock'),
      method: 'POST',
      path: url,
      headers: { 'content-type': 'application/json' },
      signal: AbortSignal.timeout(20_000),
    })
    outgoing.on('error', reject)
    outgoing.on('response', (answer) => {
      let text = ''
      answer.on('data', (chunk: Buffer) => (text += chunk.toString()))
      answer.on('end', () => resolve(JSON.parse(text)))
    })
    outgoing.end(body === undefined ? undefined : JSON.stringify(body))
  })
}
