import { chmod, mkdtemp, rm, stat } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startAgent, type AgentProcess } from '../../support/agent-process.ts'
import { httpsCall } from '../../support/https-call.ts'
import { Pebble } from '../../support/pebble.ts'
import { until } from '../../support/until.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'

const skip = await requirePrerequisite('pebble', missingCommand('pebble', 'pebble-challtestsrv', 'openssl'))

let pebble: Pebble
let directory: string
let agent: AgentProcess
let https: string

const at = (file: string) => path.join(directory, file)

async function start(tls: object, acme: object = {}, server = pebble): Promise<void> {
  agent = await startAgent({
    directory,
    config: {
      hypervisor: { libvirt_uri: 'qemu+unix:///system?socket=/nowhere/libvirt-sock' },
      node: { hostname: 'hv-acme', management_ip: '127.0.0.1' },
      server: {
        listen_address: '127.0.0.1:0',
        http: {
          listen_address: '127.0.0.1:0',
          tls: {
            enabled: true,
            listen_address: '127.0.0.1:0',
            cert_path: at('server.crt'),
            key_path: at('server.key'),
            redirect_port: server.httpPort,
            ...tls,
            acme: {
              directory_url: server.directoryUrl,
              ca_file: server.caFile,
              account_path: at('acme/account.json'),
              ...acme,
            },
          },
        },
      },
    },
  })
  https = `https://${String(agent.log.find(({ msg }) => msg === 'serving')?.['https'])}`
}

/** A request over the agent's socket: status and body. */
async function api(method: string, url: string, body?: object): Promise<[number, Record<string, unknown>]> {
  const socketPath = path.join(agent.stateDir, 'run/agent.sock')
  const answer = await new Promise<{ status: number; text: string }>((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' }
    const path = `/api/v1/settings/certificates${url}`
    const call = request({ socketPath, method, path, headers }, (response) => {
      let text = ''
      response.on('data', (chunk: Buffer) => (text += chunk.toString()))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
    })
    call.on('error', reject).end(body === undefined ? undefined : JSON.stringify(body))
  })
  return [answer.status, JSON.parse(answer.text) as Record<string, unknown>]
}

const shown = async () => (await httpsCall(`${https}/healthz`, { rejectUnauthorized: false })).peer

beforeAll(async () => {
  if (skip === undefined) pebble = await Pebble.start()
})
afterAll(() => pebble?.[Symbol.asyncDispose]())
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'lqx-acme-'))
  await chmod(directory, 0o711)
})
afterEach(async () => {
  await agent?.stop()
  await rm(directory, { recursive: true, force: true })
})

describe.skipIf(skip)('certificates from an ACME server', { timeout: 120_000 }, () => {
  it('come when asked for, over the port that is opened for that time only', async () => {
    await start({}, { enabled: true })
    expect(await api('GET', '/acme')).toMatchObject([200, { enabled: true, registered: false, nextAttemptAt: null }])
    expect(await api('POST', '/acme/register', { email: 'admin@hv-acme.example' })).toMatchObject([
      200,
      { registered: true },
    ])
    const [, { accountUrl }] = await api('GET', '/acme')
    expect(await api('POST', '/acme/register', { email: 'admin@hv-acme.example' })).toMatchObject([200, { accountUrl }])
    expect((await stat(at('acme/account.json'))).mode & 0o777).toBe(0o600)
    const domains = ['hv-acme.example', 'console.hv-acme.example']
    expect(await api('POST', '/acme/issue', { domains })).toMatchObject([
      200,
      { origin: 'acme', certificate: { names: domains } },
    ])
    expect((await shown()).subjectaltname).toBe('DNS:hv-acme.example, DNS:console.hv-acme.example')
    await expect(fetch(`http://127.0.0.1:${pebble.httpPort}/`)).rejects.toThrow()
    expect(JSON.stringify(agent.log)).not.toContain('PRIVATE KEY')
    expect((await api('GET', '/acme'))[1]['nextAttemptAt']).toMatch(/^20\d\d-/)
    await agent.stop()
    await start({}, { enabled: true })
    expect(await api('GET', '/acme')).toMatchObject([200, { registered: true, accountUrl }])
    expect((await shown()).subjectaltname).toContain('DNS:hv-acme.example')
  })

  it('come by themselves in mode acme, and again when the names of the configuration are others', async () => {
    const tls = { mode: 'acme', redirect_http: true }
    await start(tls, { domains: ['one.example'], email: 'a@one.example' })
    await until(async () => (await shown()).subjectaltname === 'DNS:one.example')
    const first = await shown()
    const plain = await fetch(`http://127.0.0.1:${pebble.httpPort}/x`, { redirect: 'manual' })
    expect([plain.status, plain.headers.get('location')]).toEqual([308, `${https}/x`])
    await agent.stop()
    await start(tls, { domains: ['two.example'] })
    await until(async () => (await shown()).subjectaltname === 'DNS:two.example')
    expect((await shown()).fingerprint256).not.toBe(first.fingerprint256)
  })

  it('are covered by what came, however the configuration writes their names, and wait after one that came', async () => {
    await start({ mode: 'acme' }, { domains: ['HV-01.Example'], email: 'a@one.example' })
    await until(async () => (await shown()).subjectaltname === 'DNS:hv-01.example')
    const next = async () => Date.parse(String((await api('GET', '/acme'))[1]['nextAttemptAt'])) - Date.now()
    const hour = 60 * 60_000
    expect(await next()).toBeGreaterThan(24 * hour)
    expect((await api('POST', '/acme/issue', { domains: ['Other.example'] }))[0]).toBe(200)
    expect(await next()).toBeGreaterThan(0.5 * hour)
    expect(await next()).toBeLessThan(1.5 * hour)
  })

  it('are renewed in time', async () => {
    await using brief = await Pebble.start(30)
    const settings = [{}, { enabled: true, renew_before_days: 1 }, brief] as const
    await start(...settings)
    expect((await api('POST', '/acme/issue', { domains: ['brief.example'] }))[0]).toBe(200)
    const first = await shown()
    const due = Date.parse(String((await api('GET', '/acme'))[1]['nextAttemptAt']))
    const [from, to] = [Date.parse(first.valid_from), Date.parse(first.valid_to)]
    expect(due).toBe(Math.floor(to - (to - from) / 3))
    await until(async () => Date.now() > due)
    await agent.stop()
    await start(...settings)
    await until(async () => (await shown()).fingerprint256 !== first.fingerprint256)
    expect((await shown()).subjectaltname).toBe('DNS:brief.example')
  })

  it('come after a kill in the middle, with the account of before', async () => {
    await start({}, { enabled: true })
    // It would else be done before a busy machine comes to the kill.
    const thaw = pebble.freeze()
    try {
      const interrupted = api('POST', '/acme/issue', { domains: ['killed.example'] }).catch(() => 'cut')
      await until(() =>
        stat(at('acme/account.json')).then(
          () => true,
          () => false,
        ),
      )
      agent.kill('SIGKILL')
      expect(await interrupted).toBe('cut')
      await agent.exited
    } finally {
      thaw()
    }
    await start({}, { enabled: true })
    expect((await shown()).subjectaltname).toContain('DNS:hv-acme')
    expect(await api('POST', '/acme/issue', { domains: ['killed.example'] })).toMatchObject([200, { origin: 'acme' }])
  })

  it('leave the one in use when they do not come, and say why', async () => {
    await start({ redirect_port: 1 }, { enabled: true })
    const before = await shown()
    const [status, body] = await api('POST', '/acme/issue', { domains: ['hv-acme.example'] })
    // Root may open port 1, so the server finds nobody at its own.
    expect([status, body['error']]).toEqual([409, 'acme_refused'])
    expect(String(body['message'])).toContain('hv-acme.example was not confirmed')
    expect((await api('GET', '/acme'))[1]['lastError']).toContain('hv-acme.example was not confirmed')
    expect((await shown()).fingerprint256).toBe(before.fingerprint256)
    expect(await api('POST', '/acme/issue', { domains: ['not a name'] })).toMatchObject([
      400,
      { error: 'invalid_request' },
    ])
  })

  it('are not asked for where the configuration does not say so, nor at a server that is not one', async () => {
    await start({})
    expect(await api('POST', '/acme/issue', { domains: ['a.example'] })).toMatchObject([409, { error: 'acme_off' }])
    await agent.stop()
    await start({}, { enabled: true, directory_url: new URL('/nowhere', pebble.directoryUrl).href })
    const [status, body] = await api('POST', '/acme/register', { email: 'a@a.example' })
    expect([status, body['error']]).toEqual([503, 'acme_unavailable'])
  })
})
