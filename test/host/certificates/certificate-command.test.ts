import { execFile } from 'node:child_process'
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { credentials } from '@grpc/grpc-js'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loadNodeDaemonService } from '../../../src/grpc/load-service.ts'
import { startAgent, type AgentProcess } from '../../support/agent-process.ts'
import { httpsCall } from '../../support/https-call.ts'
import { TestAuthority, type IssuedCertificate } from '../../support/test-authority.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'

const skip = await requirePrerequisite('openssl', missingCommand('openssl'))
const run = promisify(execFile)
const NodeClient = loadNodeDaemonService()
const PROGRAM = path.join(import.meta.dirname, '../../../bin/limiquantix-node')

let directory: string
let agent: AgentProcess
let https: string

const at = (file: string) => path.join(directory, file)
async function command(...args: string[]): Promise<string> {
  const { stdout } = await run(PROGRAM, ['certificate', ...args, '--config', agent.configFile])
  return stdout
}

async function start(env: Record<string, string> = {}): Promise<void> {
  const tls = { enabled: true, listen_address: '127.0.0.1:0', cert_path: at('server.crt'), key_path: at('server.key') }
  agent = await startAgent({
    directory,
    env,
    config: {
      hypervisor: { libvirt_uri: 'qemu+unix:///system?socket=/nowhere/libvirt-sock' },
      node: { hostname: 'hv-tls', management_ip: '127.0.0.1' },
      security: { mode: 'mtls' },
      server: { listen_address: '127.0.0.1:0', http: { listen_address: '127.0.0.1:0', tls } },
    },
  })
  https = `https://${String(agent.log.find(({ msg }) => msg === 'serving')?.['https'])}`
}

/** What HealthCheck gives over gRPC: OK, or the code of the error. */
async function grpcHealth(ca: string, own?: IssuedCertificate): Promise<string> {
  const [key, cert] = own === undefined ? [] : [Buffer.from(own.key), Buffer.from(own.cert)]
  const client = new NodeClient(agent.grpcAddress, credentials.createSsl(Buffer.from(ca), key, cert))
  const answer = await new Promise<string>((resolve) => {
    client.HealthCheck({}, { deadline: Date.now() + 20_000 }, (error) => resolve(error ? `code ${error.code}` : 'OK'))
  })
  client.close()
  return answer
}

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'lqx-tls-'))
  await chmod(directory, 0o711)
  await start()
})
afterEach(async () => {
  await agent.stop()
  await rm(directory, { recursive: true, force: true })
})

describe.skipIf(skip)('limiquantix-node certificate', { timeout: 120_000 }, () => {
  it('takes a new host into a cluster: request, have it signed, install', async () => {
    await using cluster = await TestAuthority.create('cluster')
    expect(await command()).toMatch(/security mode: +mtls\n.*certificate: +CN=hv-tls \(self-signed\)/s)
    const request = await command('request')
    await writeFile(at('signed.crt'), await cluster.sign(request, { altNames: 'DNS:hv-tls,IP:127.0.0.1' }))
    await writeFile(at('cluster.crt'), cluster.cert)
    const shown = await command('install', '--cert', at('signed.crt'), '--ca', at('cluster.crt'))
    expect(shown).toMatch(/\(issued\)\nissued by: +CN=cluster\n/)
    expect(shown).toMatch(/clients of: +CN=cluster, until /)
    const reader = await cluster.issue({ subject: '/OU=read/CN=monitor' })
    const metrics = await run('curl', [
      '-sS',
      '--unix-socket',
      path.join(agent.stateDir, 'run/agent.sock'),
      'http://x/metrics',
    ])
    expect(metrics.stdout).toMatch(
      /limiquantix_certificate_expiry_timestamp_seconds\{kind="authority",subject="CN=cluster"\} \d+/,
    )
    expect(metrics.stdout).toMatch(
      /limiquantix_certificate_expiry_timestamp_seconds\{kind="host",subject="[^"]+"\} \d+/,
    )
    let url = `${https}/api/v1/settings/certificates`
    const answer = await httpsCall(url, { ...reader, ca: cluster.cert })
    expect(answer).toMatchObject({ status: 200, json: { enabled: true, securityMode: 'mtls', origin: 'issued' } })
    expect(JSON.stringify([answer.json, agent.log])).not.toContain('PRIVATE KEY')
    expect(await grpcHealth(cluster.cert, reader)).toBe('OK')
    await agent.stop()
    await start()
    expect([await grpcHealth(cluster.cert, reader), await grpcHealth(cluster.cert)]).toEqual(['OK', 'code 14'])
    url = `${https}/api/v1/settings/certificates`
    expect((await httpsCall(url, { ...reader, ca: cluster.cert, method: 'DELETE' })).status).toBe(403)
    const admin = await cluster.issue({ subject: '/OU=admin/CN=root' })
    expect((await httpsCall(url, { ...admin, ca: cluster.cert, method: 'DELETE' })).status).toBe(204)
    expect(await command()).toContain('(self-signed)')
    expect((await readdir(directory)).filter((file) => file.startsWith('server.'))).toEqual([
      'server.crt',
      'server.key',
    ])
  })

  it('lets nobody in by the authorities of the public web', async () => {
    await using web = await TestAuthority.create('public web')
    await writeFile(at('web.crt'), web.cert)
    await agent.stop()
    await start({ NODE_EXTRA_CA_CERTS: at('web.crt') })
    const admin = await web.issue({ subject: '/OU=admin/CN=root' })
    const ca = await readFile(at('server.crt'), 'utf8')
    expect(await grpcHealth(ca, admin)).toBe('code 14')
    await expect(httpsCall(`${https}/healthz`, { ...admin, ca })).rejects.toThrow()
    // What was refused was the authority and nothing else.
    await command('install', '--ca', at('web.crt'))
    expect(await grpcHealth(ca, admin)).toBe('OK')
    expect((await httpsCall(`${https}/healthz`, { ...admin, ca })).status).toBe(200)
  })

  it('installs what was made elsewhere, and refuses what does not fit without changing anything', async () => {
    await using cluster = await TestAuthority.create('cluster')
    const [one, other] = [await cluster.issue(), await cluster.issue()]
    for (const [file, text] of Object.entries({ 'a.crt': one.cert, 'a.key': one.key, 'b.key': other.key }))
      await writeFile(at(file), text)
    await expect(command('install', '--cert', at('a.crt'), '--key', at('b.key'))).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining('[CERTIFICATE_INVALID]') as unknown,
    })
    expect(await command()).toContain('(self-signed)')
    expect(await command('install', '--cert', at('a.crt'), '--key', at('a.key'))).toContain('(uploaded)')
    await expect(command('install')).rejects.toMatchObject({ code: 2 })
  })
})
