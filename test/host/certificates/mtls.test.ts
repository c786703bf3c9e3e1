import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { Agent } from 'node:https'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { connect as connectTls } from 'node:tls'
import { credentials, type ServiceError } from '@grpc/grpc-js'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { WebSocket } from 'ws'
import type { AuditTrail } from '../../../src/audit/audit-trail.ts'
import { HostCertificate } from '../../../src/certificates/host-certificate.ts'
import { silentLogger } from '../../../src/core/context.ts'
import { loadNodeDaemonService } from '../../../src/grpc/load-service.ts'
import { startGrpcServer, type GrpcServer } from '../../../src/grpc/server.ts'
import { startHttpServer, type HttpServer } from '../../../src/http/server.ts'
import { httpsCall } from '../../support/https-call.ts'
import { TestAuthority, type IssuedCertificate } from '../../support/test-authority.ts'
import { until } from '../../support/until.ts'
import { fakeServices } from '../../unit/grpc/fake-services.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'

const skip = await requirePrerequisite('openssl', missingCommand('openssl'))

let directory: string
let crl: string
let cluster: TestAuthority
let certificate: HostCertificate
let grpc: GrpcServer
let http: HttpServer
let serverCa: string
const clients: { close(): void }[] = []

const NodeClient = loadNodeDaemonService()

/** A gRPC client with a certificate, or without. */
function client(own?: IssuedCertificate, ca = serverCa) {
  const [key, cert] = own === undefined ? [] : [Buffer.from(own.key), Buffer.from(own.cert)]
  const made = new NodeClient(`127.0.0.1:${grpc.ports[0]}`, credentials.createSsl(Buffer.from(ca), key, cert))
  clients.push(made)
  const call = (method: 'healthCheck' | 'forceStopVm') =>
    new Promise<string>((resolve) => {
      const done = (error: ServiceError | null) =>
        resolve(error === null ? 'OK' : String(error.metadata.get('limiquantix-reason')[0] ?? `code ${error.code}`))
      const deadline = { deadline: Date.now() + 20_000 }
      if (method === 'healthCheck') made.HealthCheck({}, deadline, done)
      else made.ForceStopVM({ vmId: '11111111-2222-4333-8444-555555555555' }, deadline, done)
    })
  return { health: () => call('healthCheck'), stop: () => call('forceStopVm') }
}

/** The status and reason of an HTTPS request, or the code of the error that TLS gave. */
async function https(method: string, url: string, own?: IssuedCertificate, agent?: Agent): Promise<string> {
  const options = { method, ca: serverCa, ...(own === undefined ? {} : own), ...(agent === undefined ? {} : { agent }) }
  try {
    const { status, json } = await httpsCall(`${http.address}${url}`, options)
    return `${status} ${(json as { error?: string } | undefined)?.error ?? ''}`.trim()
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error)
  }
}

const noAudit: AuditTrail = {
  audited: async (_call, work) => work(),
  refused: () => undefined,
  status: () => {
    throw new Error('nobody asks')
  },
}

const files = () => ({
  cert: path.join(directory, 'server.crt'),
  key: path.join(directory, 'server.key'),
  ca: path.join(directory, 'ca.crt'),
})

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'lqx-mtls-'))
  cluster = await TestAuthority.create('cluster')
  crl = path.join(directory, 'revoked.pem')
  await writeFile(crl, await cluster.revoke())
  certificate = new HostCertificate({
    crl,
    paths: files(),
    mode: 'self-signed',
    used: true,
    commonName: undefined,
    validityDays: 30,
    names: async () => ['hv-1'],
    log: silentLogger,
  })
  await certificate.start()
  serverCa = await readFile(files().cert, 'utf8')
  const services = fakeServices({})
  const common = { services, log: silentLogger }
  grpc = await startGrpcServer({ ...common, listenAddresses: ['127.0.0.1:0'], tls: certificate })
  const tls = { source: certificate, clientCertificates: true }
  http = await startHttpServer({ ...common, listen: { host: '127.0.0.1', port: 0 }, tls })
})
afterEach(async () => {
  for (const made of clients.splice(0)) made.close()
  grpc.forceClose()
  await http.close(0)
  certificate.stop()
  await cluster[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

describe.skipIf(skip)('mTLS over real connections', { timeout: 120_000 }, () => {
  it('lets nobody in before there are authorities, also not with a certificate of the public web or of itself', async () => {
    const [key, cert] = [await readFile(files().key, 'utf8'), serverCa]
    for (const own of [undefined, await cluster.issue({ subject: '/OU=admin/CN=a' }), { key, cert }]) {
      expect(await client(own).health()).toBe('code 14')
      expect(await https('GET', '/healthz', own)).toMatch(/^(ECONNRESET|EPIPE|EPROTO|ERR_SSL_)/)
    }
  })

  it('admits certificates of the cluster, and for what their scopes say', async () => {
    await certificate.trust(cluster.cert)
    const reader = await cluster.issue({ subject: '/OU=read/CN=monitor' })
    const operator = await cluster.issue({ subject: '/CN=operator', altNames: 'URI:urn:limiquantix:scope:vm' })
    const nobody = await cluster.issue({ subject: '/OU=Sales/CN=nobody' })
    expect(await client(reader).health()).toBe('OK')
    expect(await client(reader).stop()).toBe('SCOPE_MISSING')
    expect(await client(operator).stop()).toBe('OK')
    expect(await client(nobody).health()).toBe('SCOPE_MISSING')
    const VM = '/api/v1/vms/11111111-2222-4333-8444-555555555555'
    expect(await https('GET', VM, reader)).toBe('200')
    expect(await https('POST', `${VM}/force-stop`, reader)).toBe('403 scope_missing')
    expect(await https('POST', `${VM}/force-stop`, operator)).toBe('204')
    expect(await https('POST', '/api/v1/cluster/leave', operator)).toBe('403 scope_missing')
    expect(await https('GET', VM, nobody)).toBe('403 scope_missing')
    expect(await https('GET', '/nowhere', reader)).toBe('404 route_unknown')
  })

  it('ends the access of a revoked certificate by a new list, also on open connections, and takes no other file for a list', async () => {
    await certificate.trust(cluster.cert)
    const [thief, reader] = await Promise.all([
      cluster.issue({ subject: '/OU=read/CN=thief' }),
      cluster.issue({ subject: '/OU=read/CN=monitor' }),
    ])
    const open = client(thief)
    const kept = new Agent({ keepAlive: true })
    expect([await open.health(), await https('GET', '/healthz', thief, kept)]).toEqual(['OK', '200'])
    expect(certificate.status().revocations).toEqual([
      { issuer: 'CN=cluster', nextUpdate: expect.any(Number) as number },
    ])
    await writeFile(crl, 'nonsense')
    await certificate.look()
    expect(certificate.status().lastError).toContain('has no list of revoked certificates in it')
    expect(await client(thief).health()).toBe('OK')

    await writeFile(crl, await cluster.revoke(thief.cert))
    await certificate.look()
    expect(await client(thief).health()).toBe('code 14')
    expect(await https('GET', '/healthz', thief)).toMatch(/^(ECONNRESET|EPIPE|EPROTO|ERR_SSL_)/)
    await until(async () => (await open.health()) === 'code 14' || undefined, 30_000)
    await until(async () => (await https('GET', '/healthz', thief, kept)) !== '200' || undefined, 30_000)
    expect([await client(reader).health(), await https('GET', '/healthz', reader)]).toEqual(['OK', '200'])
    kept.destroy()

    // Nobody can say who is revoked by an authority without a list.
    await using other = await TestAuthority.create('other')
    await certificate.trust(cluster.cert + other.cert)
    expect(await client(await other.issue({ subject: '/OU=read/CN=b' })).health()).toBe('code 14')
    expect(await client(reader).health()).toBe('OK')
  })

  it('reads a new list again when that failed for a reason that is over', async () => {
    await certificate.trust(cluster.cert)
    const thief = await cluster.issue({ subject: '/OU=read/CN=thief' })
    expect(await client(thief).health()).toBe('OK')
    const revoking = await cluster.revoke(thief.cert)
    try {
      // No openssl for a moment.
      vi.stubEnv('PATH', directory)
      await writeFile(crl, revoking)
      await certificate.look()
      expect(certificate.status().lastError).toContain('openssl is not installed')
    } finally {
      vi.unstubAllEnvs()
    }
    await certificate.look()
    expect(certificate.status().lastError).toBe('')
    expect(await client(thief).health()).toBe('code 14')
  })

  it('admits WebSockets like any other request', async () => {
    await certificate.trust(cluster.cert)
    const url = `${http.address.replace('https', 'wss')}/api/v1/vms/11111111-2222-4333-8444-555555555555/console/ws?ticket=t`
    const dial = (own: IssuedCertificate) => new WebSocket(url, { ca: serverCa, ...own })
    const operator = dial(await cluster.issue({ subject: '/OU=vm/CN=operator' }))
    await once(operator, 'open')
    operator.send('echo')
    expect(String((await once(operator, 'message'))[0])).toBe('echo')
    operator.terminate()
    const reader = dial(await cluster.issue({ subject: '/OU=read/CN=monitor' }))
    const [, refused] = (await once(reader, 'unexpected-response')) as [unknown, { statusCode: number }]
    expect(refused.statusCode).toBe(403)
  })

  it('hangs up on addresses that are not allowed before the handshake, and tells the audit log of refused changes', async () => {
    await certificate.trust(cluster.cert)
    const own = await cluster.issue({ subject: '/OU=read/CN=monitor' })
    const refused: unknown[] = []
    const audit = { ...noAudit, refused: (call: object, result: string) => void refused.push({ ...call, result }) }
    const common = { services: fakeServices({}), log: silentLogger, audit }
    const tls = { source: certificate, clientCertificates: true }
    const listen = { host: '127.0.0.1', port: 0 }
    const strict = await startHttpServer({ ...common, listen, tls, allowPeer: () => false })
    const socket = connect({ host: '127.0.0.1', port: strict.port })
    const received: Buffer[] = []
    socket.on('data', (bytes: Buffer) => received.push(bytes))
    socket.on('error', () => undefined)
    await once(socket, 'close')
    expect(received).toEqual([])
    await strict.close(0)
    const first = grpc
    // A server that begins when all files are there.
    grpc = await startGrpcServer({ ...common, listenAddresses: ['127.0.0.1:0'], tls: certificate })
    expect(await client(own).stop()).toBe('SCOPE_MISSING')
    expect(await client(own).health()).toBe('OK')
    first.forceClose()
    expect(refused).toEqual([
      {
        caller: { via: 'grpc', peer: '127.0.0.1', subject: 'OU=read,CN=monitor' },
        method: 'ForceStopVM',
        objects: {},
        result: 'SCOPE_MISSING',
      },
    ])
  })

  it('refuses no certificate, one of another authority, and an expired one, in the handshake', async () => {
    await certificate.trust(cluster.cert)
    await using other = await TestAuthority.create('cluster')
    const subject = '/OU=admin/CN=a'
    for (const own of [undefined, await other.issue({ subject }), await cluster.issue({ subject, days: -1 })]) {
      expect(await client(own).health()).toBe('code 14')
      expect(await https('GET', '/healthz', own)).toMatch(/^(ECONNRESET|EPIPE|EPROTO|ERR_SSL_)/)
    }
  })

  it('uses a new server certificate for new connections, while open ones go on', async () => {
    await certificate.trust(cluster.cert)
    const own = await cluster.issue({ subject: '/OU=read/CN=monitor' })
    const before = client(own)
    expect(await before.health()).toBe('OK')
    const kept = new Agent({ keepAlive: true, maxSockets: 1, ca: serverCa, ...own })
    expect(await https('GET', '/healthz', own, kept)).toBe('200')
    const issued = await cluster.issue({ subject: '/CN=hv-1' })
    await certificate.install(issued.cert, issued.key, 'uploaded')
    expect(await before.health()).toBe('OK')
    expect(await https('GET', '/healthz', own, kept)).toBe('200')
    // Who knows only the certificate of before is no longer answered on a new connection; who knows the authority is.
    expect(await https('GET', '/healthz', own)).not.toBe('200')
    serverCa = cluster.cert
    expect(await https('GET', '/healthz', own)).toBe('200')
    expect(await client(own).health()).toBe('OK')
    kept.destroy()
  })

  it('ends the connections of clients whose authority is replaced', async () => {
    await certificate.trust(cluster.cert)
    const own = await cluster.issue({ subject: '/OU=read/CN=monitor' })
    const before = client(own)
    expect(await before.health()).toBe('OK')
    await using next = await TestAuthority.create('next')
    await writeFile(crl, await next.revoke())
    await certificate.trust(next.cert)
    await until(async () => (await before.health()) === 'code 14')
    expect(await client(await next.issue({ subject: '/OU=read/CN=monitor' })).health()).toBe('OK')
    expect(await https('GET', '/healthz', own)).not.toBe('200')
  })

  it('takes no session of before up again when the authority was replaced', async () => {
    await certificate.trust(cluster.cert)
    const own = await cluster.issue({ subject: '/OU=read/CN=monitor' })
    const before = connectTls({ host: '127.0.0.1', port: http.port, ca: serverCa, ...own })
    const [session] = (await once(before.resume(), 'session')) as [Buffer]
    /** Asks over a connection that offers the session. */
    const resume = async () => {
      const socket = connectTls({ host: '127.0.0.1', port: http.port, ca: serverCa, session, ...own })
      socket.on('error', () => undefined)
      socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
      let [text, resumed] = ['', false]
      socket.on('secureConnect', () => (resumed = socket.isSessionReused()))
      socket.on('data', (bytes: Buffer) => (text += bytes.toString()))
      await once(socket, 'close')
      return { resumed, status: text.slice(0, 12) }
    }
    expect(await resume()).toEqual({ resumed: true, status: 'HTTP/1.1 200' })
    await using next = await TestAuthority.create('next')
    await certificate.trust(next.cert)
    expect(await resume()).toEqual({ resumed: false, status: '' })
    before.destroy()
  })

  it('has a request signed elsewhere and keeps the key at home', async () => {
    const request = await certificate.request()
    expect(request).toContain('BEGIN CERTIFICATE REQUEST')
    const foreign = await cluster.issue()
    await expect(certificate.install(foreign.cert, undefined, 'issued')).rejects.toThrow('fits no key of this host')
    const signed = await cluster.sign(request)
    await expect(certificate.install(await cluster.sign(request, { days: -1 }), undefined, 'issued')).rejects.toThrow(
      'was good until',
    )
    // Expired authorities would lock every client out.
    for (const change of [
      (ca: string) => certificate.install(signed, undefined, 'issued', ca),
      (ca: string) => certificate.trust(ca),
    ])
      await expect(change(await cluster.expired())).rejects.toMatchObject({ reason: 'CERTIFICATE_EXPIRED' })
    expect(certificate.status().authorities).toEqual([])
    await certificate.install(signed, undefined, 'issued', cluster.cert)
    expect(certificate.status()).toMatchObject({
      origin: 'issued',
      lastError: '',
      authorities: [{ subject: 'CN=cluster' }],
    })
    serverCa = cluster.cert
    expect(await client(await cluster.issue({ subject: '/OU=read/CN=m' })).health()).toBe('OK')
  })
})
