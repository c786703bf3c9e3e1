import { createHash, X509Certificate } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Enroller, type EnrolmentWish } from '../../../src/certificates/enrolment/enroller.ts'
import { PendingKey } from '../../../src/certificates/enrolment/pending-key.ts'
import { HostCertificate } from '../../../src/certificates/host-certificate.ts'
import { silentLogger } from '../../../src/core/context.ts'
import { createHttpsExchange } from '../../../src/platform/https-exchange.ts'
import { EstAuthority } from '../../control-plane/est-authority.ts'
import { startStandInControlPlane, type StandInControlPlane } from '../../control-plane/stand-in.ts'
import { TestAuthority } from '../../support/test-authority.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'

const skip = await requirePrerequisite('openssl', missingCommand('openssl'))
const TOKEN = 'ABCD-EFGH-1234'
const SECOND = 'IJKL-MNOP-5678'

let directory: string
let cluster: TestAuthority
let est: EstAuthority
let cp: StandInControlPlane
let certificate: HostCertificate
let enroller: Enroller

const at = (file: string) => path.join(directory, file)

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'lqx-est-'))
  cluster = await TestAuthority.create('cluster')
  est = new EstAuthority({ authority: cluster, tokens: [TOKEN, SECOND] })
  const own = await cluster.issue({ subject: '/CN=control plane', altNames: 'IP:127.0.0.1' })
  cp = await startStandInControlPlane({ tls: { ...own, ca: cluster.cert, est } })
  const names = async () => ['hv-1', '192.0.2.7']
  certificate = new HostCertificate({
    paths: { cert: at('server.crt'), key: at('server.key'), ca: at('ca.crt') },
    mode: 'self-signed',
    used: true,
    commonName: undefined,
    validityDays: 30,
    names,
    log: silentLogger,
  })
  await certificate.start()
  enroller = new Enroller({
    certificate,
    certificateFile: at('server.crt'),
    pendingKey: new PendingKey(at('server.key.enrolment')),
    names,
    openExchange: async (authorities, options) => createHttpsExchange(authorities, 'test', options),
    log: silentLogger,
  })
})
afterEach(async () => {
  vi.useRealTimers()
  enroller.stop()
  certificate.stop()
  await cp.close()
  await cluster[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

const enrol = (wish: Partial<EnrolmentWish> = {}) =>
  enroller.enrol({ url: cp.url, token: TOKEN, authorities: cluster.cert, ...wish }, AbortSignal.timeout(30_000))
const byFingerprint = () => new X509Certificate(cluster.cert).fingerprint256

describe.skipIf(skip)('a certificate by enrolment', { timeout: 60_000 }, () => {
  it('is for a new key that no other user can read, names the host, and makes the authority that of clients', async () => {
    const before = certificate.material().key
    expect(await enrol()).toBe('enrolled')
    const now = certificate.status()
    expect(now).toMatchObject({ origin: 'enrolled', certificate: { subject: 'CN=hv-1', names: ['hv-1', '192.0.2.7'] } })
    expect(now.authorities.map(({ subject }) => subject)).toEqual(['CN=cluster'])
    expect(certificate.material().key).not.toBe(before)
    expect((await stat(at('server.key'))).mode & 0o777).toBe(0o600)
    expect((await readdir(directory)).sort()).toEqual(['ca.crt', 'server.crt', 'server.key'])
    expect(est.log).toEqual(['simpleenroll 200'])
  })

  it('asks for nothing a second time', async () => {
    await enrol()
    expect(await enrol()).toBe('already-enrolled')
    expect(est.log).toEqual(['simpleenroll 200'])
  })

  it.each(['plain', 'prefixed'])('believes an authority by its fingerprint alone (%s)', async (form) => {
    const fingerprint = form === 'plain' ? byFingerprint().replaceAll(':', '') : `SHA256:${byFingerprint()}`
    const { authorities: _none, ...wish } = { url: cp.url, token: TOKEN, authorities: '', fingerprint }
    await enroller.enrol(wish, AbortSignal.timeout(30_000))
    expect(est.log).toEqual(['cacerts 200', 'simpleenroll 200'])
    expect(certificate.status().authorities).toHaveLength(1)
  })

  it('sends no token to a server that is not believed', async () => {
    await using other = await TestAuthority.create('other')
    await expect(enrol({ authorities: other.cert })).rejects.toMatchObject({ reason: 'ENROLMENT_UNAVAILABLE' })
    const fingerprint = createHash('sha256').update('another').digest('hex')
    const wish = { url: cp.url, token: TOKEN, fingerprint }
    await expect(enroller.enrol(wish, AbortSignal.timeout(30_000))).rejects.toMatchObject({
      reason: 'ENROLMENT_BAD_ANSWER',
    })
    await expect(enrol({ url: cp.url.replace('https', 'http') })).rejects.toMatchObject({ reason: 'INVALID_REQUEST' })
    await expect(enroller.enrol({ url: cp.url, token: TOKEN }, AbortSignal.timeout(30_000))).rejects.toMatchObject({
      reason: 'INVALID_REQUEST',
    })
    expect(est.log).toEqual(['cacerts 200'])
    expect(certificate.status()).toMatchObject({ origin: 'self-signed', authorities: [] })
  })

  it('is told apart from the answers of a control plane of today', async () => {
    const own = await cluster.issue({ altNames: 'IP:127.0.0.1' })
    const today = await startStandInControlPlane({ tls: { ...own, ca: cluster.cert } })
    await expect(enrol({ url: today.url })).rejects.toMatchObject({ reason: 'ENROLMENT_UNSUPPORTED' })
    await today.close()
    expect(certificate.status().origin).toBe('self-signed')
  })

  it('is refused for a wrong token, which is not repeated in the error', async () => {
    const error = await enrol({ token: 'my-secret' }).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ reason: 'ENROLMENT_REFUSED' })
    expect(String(error)).not.toContain('my-secret')
    expect(enroller.status().lastError).toContain('the token *** is not valid')
  })

  it('is asked for again with the same key, when the authority signs later', async () => {
    est.busy = true
    await expect(enrol()).rejects.toMatchObject({ reason: 'ENROLMENT_PENDING' })
    expect((await stat(at('server.key.enrolment'))).mode & 0o777).toBe(0o600)
    const waiting = await readFile(at('server.key.enrolment'), 'utf8')
    est.busy = false
    await enrol()
    expect(certificate.material().key).toBe(waiting)
  })

  it.each([
    ['other names', { altNames: 'DNS:hv-1' }, /not good for all of hv-1, 192\.0\.2\.7/],
    ['the past', { days: -1 }, /was good until/],
    ['another authority', 'other', /does not lead to the authority/],
  ])('is not used when it is for %s', async (_what, wish, message) => {
    await using other = await TestAuthority.create('cluster')
    est.wish = typeof wish === 'string' ? { authority: other } : wish
    const before = await readFile(at('server.crt'), 'utf8')
    await expect(enrol()).rejects.toMatchObject({
      reason: 'ENROLMENT_BAD_ANSWER',
      message: expect.stringMatching(message),
    })
    expect(await readFile(at('server.crt'), 'utf8')).toBe(before)
    expect(certificate.status()).toMatchObject({ origin: 'self-signed', authorities: [] })
  })

  it('is renewed with itself, for a new key, when two thirds of its life are over; listeners hear of it', async () => {
    await enrol()
    const first = certificate.material()
    await enroller.look()
    expect(certificate.material().chain).toBe(first.chain)
    const heard: unknown[] = []
    certificate.onChange((change) => heard.push(change))
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 4 * 24 * 60 * 60_000 })
    await enroller.look()
    expect(est.log).toEqual(['simpleenroll 200', 'simplereenroll 200'])
    const now = certificate.material()
    expect(now.chain).not.toBe(first.chain)
    expect(now.key).not.toBe(first.key)
    expect(certificate.status()).toMatchObject({ origin: 'enrolled', certificate: { subject: 'CN=hv-1' } })
    expect(heard).toEqual([{ authorities: false }])
  })

  it('stays in use when the renewal fails, which is tried again later and told of', async () => {
    await enrol()
    const first = certificate.material()
    est.wish = { altNames: 'DNS:somebody-else' }
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 4 * 24 * 60 * 60_000 })
    await enroller.look()
    expect(certificate.material()).toEqual(first)
    const { lastError, nextAttemptAt = 0 } = enroller.status()
    expect(lastError).toContain('not good for all of')
    expect(nextAttemptAt).toBeGreaterThan(Date.now())
    await enroller.look()
    expect(est.log.filter((line) => line.startsWith('simplereenroll'))).toHaveLength(1)
    est.wish = {}
    vi.setSystemTime(nextAttemptAt)
    await enroller.look()
    expect(certificate.material().chain).not.toBe(first.chain)
    expect(enroller.status().lastError).toBe('')
  })
  it('is asked for at once, with a token, while the renewal fails', async () => {
    await enrol()
    const first = certificate.material()
    est.wish = { altNames: 'DNS:somebody-else' }
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 4 * 24 * 60 * 60_000 })
    await enroller.look()
    expect(enroller.status().lastError).not.toBe('')
    est.wish = {}
    expect(await enrol({ token: SECOND })).toBe('enrolled')
    expect(est.log.filter((line) => line === 'simpleenroll 200')).toHaveLength(2)
    expect(certificate.material().chain).not.toBe(first.chain)
    expect(enroller.status().lastError).toBe('')
  })
})
