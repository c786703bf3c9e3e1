import { execFile } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { chmod, mkdtemp, readFile, rm, stat, watch, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readIdentity } from '../../../src/certificates/server-identity.ts'
import { EstAuthority } from '../../control-plane/est-authority.ts'
import { startStandInControlPlane, type StandInControlPlane } from '../../control-plane/stand-in.ts'
import { startAgent, type AgentProcess } from '../../support/agent-process.ts'
import { httpsCall } from '../../support/https-call.ts'
import { TestAuthority } from '../../support/test-authority.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'

const skip = await requirePrerequisite('openssl', missingCommand('openssl'))
const run = promisify(execFile)
const PROGRAM = path.join(import.meta.dirname, '../../../bin/limiquantix-node')

/** What is put down first when an identity is replaced. */
const PENDING = 'server.key.next'

let directory: string
let cluster: TestAuthority
let agent: AgentProcess
let cp: StandInControlPlane

const file = (name: string) => path.join(directory, name)

async function command(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  try {
    const { stdout, stderr } = await run(PROGRAM, [...args, '--config', agent.configFile])
    return { code: 0, out: stdout, err: stderr }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
    return { code, out: stdout, err: stderr }
  }
}

async function start(): Promise<void> {
  const tls = {
    enabled: true,
    listen_address: '127.0.0.1:0',
    cert_path: file('server.crt'),
    key_path: file('server.key'),
  }
  agent = await startAgent({
    directory,
    config: {
      hypervisor: { libvirt_uri: 'qemu+unix:///system?socket=/nowhere/libvirt-sock' },
      node: { hostname: 'hv-est', management_ip: '127.0.0.1' },
      security: { mode: 'mtls' },
      server: { listen_address: '127.0.0.1:0', http: { listen_address: '127.0.0.1:0', tls } },
    },
  })
}

const newToken = async () => /^Token: +(\S+)$/m.exec((await command('token')).out)?.[1] ?? ''
const https = () => `https://${String(agent.log.find(({ msg }) => msg === 'serving')?.['https'])}`

async function startControlPlane(est?: EstAuthority): Promise<void> {
  const own = await cluster.issue({ subject: '/CN=control plane', altNames: 'IP:127.0.0.1' })
  const tls = { ...own, ca: cluster.cert, ...(est === undefined ? {} : { est }) }
  cp = await startStandInControlPlane({ heartbeatIntervalSecs: 5, tls })
}

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'lqx-join-enrol-'))
  await chmod(directory, 0o711)
  cluster = await TestAuthority.create('cluster')
  await writeFile(file('cluster.crt'), cluster.cert)
  await start()
})
afterEach(async () => {
  await agent.stop()
  await cp.close()
  await cluster[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

describe.skipIf(skip)('limiquantix-node join --enrol', { timeout: 180_000 }, () => {
  it('leaves a host with a certificate of the cluster, joined over HTTPS, with the token in no log', async () => {
    const token = await newToken()
    const est = new EstAuthority({ authority: cluster, tokens: [token] })
    await startControlPlane(est)
    const fingerprint = new X509Certificate(cluster.cert).fingerprint256
    const beat = cp.waitForHeartbeat(AbortSignal.timeout(60_000))
    await writeFile(file('token'), `${token}\n`, { mode: 0o600 })
    const args = ['join', cp.url, '--token-file', file('token'), '--ca-fingerprint', fingerprint]
    expect((await command(...args)).err).toContain('go with --enrol')
    expect((await command(...args, '--enrol', '--token', token)).err).toContain('not both')
    const joined = await command(...args, '--enrol')
    expect(joined).toMatchObject({ code: 0, err: '' })
    await beat
    expect((await command('certificate')).out).toMatch(
      /CN=hv-est \(enrolled\)\n.*renewed by: +https:\/\/127\.0\.0\.1:\d+\/\.well-known\/est, next 20/s,
    )
    // The cluster believes the host, and the host the cluster.
    const reader = await cluster.issue({ subject: '/OU=read/CN=monitor' })
    const { status, peer } = await httpsCall(`${https()}/healthz`, { ca: cluster.cert, ...reader })
    expect([status, peer.issuer]).toMatchObject([200, { CN: 'cluster' }])
    expect((await stat(file('server.key'))).mode & 0o777).toBe(0o600)
    const audit = await command('audit', 'show')
    expect(audit.out).toContain('/api/v1/settings/certificates/enrol')
    expect(JSON.stringify(agent.log) + audit.out).not.toContain(token)
    expect(cp.violations).toEqual([])
  })

  it('says that a control plane of today signs nothing, and joins nowhere then', async () => {
    await startControlPlane()
    const args = ['join', cp.url, '--token', await newToken(), '--ca', file('cluster.crt')]
    const refused = await command(...args, '--enrol')
    expect(refused).toMatchObject({ code: 1, err: expect.stringContaining('ENROLMENT_UNSUPPORTED') as string })
    expect(cp.requests.filter(({ method }) => method === 'RegisterNode')).toEqual([])
    expect((await command(...args)).code).toBe(0)
  })

  it.each([
    // The server has the token and the key, and has signed nothing.
    ['asked', 'CN=hv-est'],
    ['answered', undefined],
    // The first of the files that are replaced: from here on the new identity is the one.
    ['written', 'CN=cluster'],
  ])(
    'has the old identity or the new one after a kill when it is %s, and ends when it is repeated',
    async (at, issuer) => {
      const est = new EstAuthority({ authority: cluster, tokens: ['token'] })
      await startControlPlane(est)
      await writeFile(file('token'), 'token')
      const args = ['certificate', 'enrol', cp.url, '--token-file', file('token'), '--ca', file('cluster.crt')]
      const kill = () => void agent.kill('SIGKILL')
      const writing = at === 'written' ? firstChange(directory, PENDING).then(kill) : undefined
      est.onSigning = (point) => (point === at ? kill() : undefined)
      const asked = run(PROGRAM, [...args, '--config', agent.configFile]).catch(() => undefined)
      await agent.exited
      await asked
      await writing
      est.onSigning = () => undefined
      await start()
      const [chain, key] = await Promise.all([
        readFile(file('server.crt'), 'utf8'),
        readFile(file('server.key'), 'utf8'),
      ])
      const { certificate } = readIdentity(chain, key, { chain: 'chain', key: 'key' })
      expect(issuer === undefined ? ['CN=hv-est', 'CN=cluster'] : [issuer]).toContain(certificate.issuer)
      expect((await command(...args)).code).toBe(0)
      expect(est.log.at(-1)).toBe('simpleenroll 200')
      expect((await command('certificate')).out).toContain('(enrolled)')
    },
  )
})

/** Resolves when something happens to a file in `directory`, by the kernel's word. */
async function firstChange(directory: string, name: string): Promise<void> {
  for await (const { filename } of watch(directory)) if (filename === name) return
}
