import { chmod, copyFile, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { Agent } from 'node:https'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { startAgent, type AgentProcess } from '../../support/agent-process.ts'
import { httpsCall } from '../../support/https-call.ts'
import { freePort } from '../../support/free-port.ts'
import { TestAuthority } from '../../support/test-authority.ts'
import { until } from '../../support/until.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'

const skip = await requirePrerequisite('openssl', missingCommand('openssl'))

let directory: string
let agent: AgentProcess | undefined

const certs = (file: string) => path.join(directory, 'certs', file)

async function start(tls: object = {}, config: object = {}): Promise<string> {
  agent = await startAgent({
    directory,
    config: {
      hypervisor: { libvirt_uri: 'qemu+unix:///system?socket=/nowhere/libvirt-sock' },
      node: { hostname: 'hv-tls', management_ip: '127.0.0.9' },
      server: {
        listen_address: '127.0.0.1:0',
        http: {
          listen_address: '127.0.0.1:0',
          tls: {
            enabled: true,
            listen_address: '127.0.0.1:0',
            cert_path: certs('server.crt'),
            key_path: certs('server.key'),
            ...tls,
          },
        },
      },
      ...config,
    },
  })
  const address = agent.log.find(({ msg }) => msg === 'serving')?.['https']
  return `https://${String(address)}`
}

// As control planes do it.
const unverified = { rejectUnauthorized: false }
const healthz = (url: string, options: object = unverified) => httpsCall(`${url}/healthz`, options)

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'lqx-tls-'))
  await chmod(directory, 0o711)
})
afterEach(async () => {
  await agent?.stop()
  agent = undefined
  await rm(directory, { recursive: true, force: true })
})

describe.skipIf(skip)('the HTTPS listener', { timeout: 120_000 }, () => {
  it('makes a certificate at the first start that names this host, and keeps it', async () => {
    const url = await start()
    const first = await healthz(url)
    expect(first.status).toBe(200)
    expect(first.peer.subjectaltname).toBe(
      'DNS:hv-tls, IP Address:127.0.0.9, DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1',
    )
    expect((await stat(certs('server.key'))).mode & 0o777).toBe(0o600)
    expect(await readdir(path.join(directory, 'certs'))).toEqual(['server.crt', 'server.key'])
    // Whoever has the certificate can check the host by it.
    const ca = await readFile(certs('server.crt'), 'utf8')
    expect((await healthz(url, { ca })).status).toBe(200)
    expect(JSON.stringify(agent?.log)).not.toContain('PRIVATE KEY')
    await agent?.stop()
    expect((await healthz(await start())).peer.fingerprint256).toBe(first.peer.fingerprint256)
  })

  it('makes it anew when the management address is another one, and leaves one that somebody else made', async () => {
    const first = await healthz(await start())
    await agent?.stop()
    const moved = { node: { hostname: 'hv-tls', management_ip: '127.0.0.8' } }
    const second = await healthz(await start({}, moved))
    expect(second.peer.fingerprint256).not.toBe(first.peer.fingerprint256)
    expect(second.peer.subjectaltname).toContain('IP Address:127.0.0.8')
    await agent?.stop()
    await using authority = await TestAuthority.create()
    const { key, cert } = await authority.issue()
    await writeFile(certs('server.key'), key)
    await writeFile(certs('server.crt'), cert)
    const third = await healthz(await start({}, moved), { ca: authority.cert, servername: 'localhost' })
    expect(third.peer.issuer.CN).toBe('test authority')
  })

  it('takes a replaced certificate up while connections go on, and keeps the old one when the files are bad', async () => {
    const url = await start()
    const agentOfCaller = new Agent({ keepAlive: true, maxSockets: 1 })
    const first = await healthz(url, { ...unverified, agent: agentOfCaller })
    await using authority = await TestAuthority.create()
    const next = await authority.issue()
    await writeFile(certs('server.crt'), next.cert)
    // Its key is not there yet.
    await until(async () => agent?.log.some(({ reason }) => reason === 'CERTIFICATE_INVALID'))
    expect((await healthz(url)).peer.fingerprint256).toBe(first.peer.fingerprint256)
    await writeFile(certs('server.key'), next.key)
    await until(async () => (await healthz(url)).peer.issuer.CN === 'test authority')
    const same = await healthz(url, { ...unverified, agent: agentOfCaller })
    expect(same.peer.fingerprint256).toBe(first.peer.fingerprint256)
    agentOfCaller.destroy()
    await writeFile(certs('server.crt'), 'nothing')
    await until(async () => agent?.log.some(({ err }) => String(err).includes('has no certificate in it')))
    expect((await healthz(url)).peer.issuer.CN).toBe('test authority')
  })

  it.each([
    ['nothing', async () => {}, 'CERTIFICATE_MISSING'],
    ['a foreign key', spoilKey, 'CERTIFICATE_INVALID'],
  ])('does not start in mode manual with %s there, and says why', async (_what, prepare, reason) => {
    await prepare()
    await expect(start({ mode: 'manual' })).rejects.toThrow(reason)
  })

  it('warns of a private key that others can read', async () => {
    const url = await start()
    await chmod(certs('server.key'), 0o644)
    await until(async () => agent?.log.some(({ msg }) => String(msg).includes('private key can be read by others')))
    expect((await healthz(url)).status).toBe(200)
  })

  it('redirects plain HTTP', async () => {
    const port = await freePort()
    const url = await start({ redirect_http: true, redirect_port: port })
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1/host?x=1`, { redirect: 'manual' })
    expect(answer.status).toBe(308)
    expect(answer.headers.get('location')).toBe(`${url}/api/v1/host?x=1`)
  })

  async function spoilKey(): Promise<void> {
    await start()
    await agent?.stop()
    await copyFile(certs('server.key'), certs('old.key'))
    await rm(certs('server.key'))
    await rm(certs('server.crt'))
    await start()
    await agent?.stop()
    await copyFile(certs('old.key'), certs('server.key'))
  }
})
