import { X509Certificate } from 'node:crypto'
import type { Logger } from '../../core/context.ts'
import { AgentError, toAgentError } from '../../core/errors.ts'
import { abortable, KeyedLock } from '../../core/keyed-lock.ts'
import type { HttpsExchange, HttpsExchangeOptions } from '../../platform/https-exchange.ts'
import { renewalRequest, requestForKey } from '../../platform/openssl.ts'
import { coversNames } from '../certificate-facts.ts'
import type { HostCertificate, TlsMaterial } from '../host-certificate.ts'
import { EstClient, estAddress } from './est-client.ts'
import { issuedChain, type IssuedFor } from './issued-chain.ts'
import type { PendingKey } from './pending-key.ts'
import { pinnedAuthorities, type AuthorityPin } from './pinned-authorities.ts'

export interface EnrollerOptions {
  readonly certificate: HostCertificate
  /** Has the certificate in use: what a renewal repeats. */
  readonly certificateFile: string
  readonly pendingKey: PendingKey
  /** Host name, and management address if there is one, as they are now. */
  readonly names: (signal: AbortSignal) => Promise<readonly string[]>
  /** Believes the given authorities (PEM) and those of the host. */
  readonly openExchange: (authorities: readonly string[], options?: HttpsExchangeOptions) => Promise<HttpsExchange>
  readonly log: Logger
}

/** How a host asks for its first certificate. The authorities of the pin are believed in what comes back, and for certificates of clients from then on. */
export interface EnrolmentWish extends AuthorityPin {
  /** Of an EST server, or of a control plane that is one too. */
  readonly url: string
  /** Known to the server; told nobody else. */
  readonly token: string
}

/** What is told of it; nothing in it is secret. Times are milliseconds since the epoch. */
export interface EnrolmentStatus {
  /** Who renews the certificate; undefined when it was not got by enrolment. */
  readonly server: string | undefined
  readonly nextAttemptAt: number | undefined
  readonly lastError: string
}

const TIMEOUT_MS = 60_000
const DAY_MS = 24 * 60 * 60_000
const LOOK_INTERVAL_MS = 60_000
const RENEW_BEFORE_MS = 30 * DAY_MS
const FIRST_RETRY_MS = 60 * 60_000
const MIN_RETRY_MS = 60_000
const LOCK = 'enrolment'

/** Gets the certificate of this host from the cluster's authority by RFC 7030, when asked with a token, and renews it by itself before it expires. */
export class Enroller {
  readonly #options: EnrollerOptions
  readonly #locks = new KeyedLock()
  readonly #stopping = new AbortController()
  #lastError = ''
  #retryMs = FIRST_RETRY_MS
  #notBefore = 0
  #timer: NodeJS.Timeout | undefined

  constructor(options: EnrollerOptions) {
    this.#options = options
  }

  /** Renews from now on; the first look is at once. */
  start(): void {
    this.#timer = setInterval(() => void this.look(), LOOK_INTERVAL_MS)
    this.#timer.unref()
    void this.look()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#stopping.abort(new AgentError('SHUTTING_DOWN', 'the agent is stopping'))
  }

  /** From memory. */
  status(): EnrolmentStatus {
    const { server } = this.#options.certificate.status()
    return { server, nextAttemptAt: this.#dueAt(), lastError: this.#lastError }
  }

  /**
   * Asks for a certificate and uses it; one that came from there before, and is good for the names of now, stays. Goes on when the caller is gone.
   * INVALID_REQUEST, CERTIFICATE_INVALID, CERTIFICATE_EXPIRED, CERTIFICATE_NOT_WRITABLE, ENROLMENT_BAD_ANSWER, errors of EstClient.
   */
  async enrol(wish: EnrolmentWish, caller: AbortSignal): Promise<'enrolled' | 'already-enrolled'> {
    const address = estAddress(wish.url)
    return abortable(
      this.#alone((signal) => this.#enrol(address, wish, signal)),
      caller,
    )
  }

  /** Renews the certificate if that is due. Never throws: what failed is in the log and in the status, and is tried again. */
  async look(): Promise<void> {
    const due = this.#dueAt()
    if (due === undefined || due > Date.now() || this.#locks.isHeld(LOCK)) return
    try {
      await this.#alone((signal) => this.#renew(signal))
      this.#succeeded()
    } catch (error) {
      if (this.#stopping.signal.aborted) return
      const { reason, message } = toAgentError(error)
      const left = (this.#options.certificate.status().certificate?.notAfter ?? 0) - Date.now()
      // Sooner when there is little time left.
      const retryInMs = Math.max(MIN_RETRY_MS, Math.min(this.#retryMs, left > 0 ? left / 4 : DAY_MS))
      this.#notBefore = Date.now() + retryInMs
      this.#retryMs = Math.min(this.#retryMs * 2, DAY_MS)
      this.#options.log.error({ reason, err: message, retryInMs }, 'the certificate of this host could not be renewed')
    }
  }

  async #enrol(address: string, wish: EnrolmentWish, signal: AbortSignal): Promise<'enrolled' | 'already-enrolled'> {
    const { certificate, pendingKey, log } = this.#options
    const names = await this.#options.names(signal)
    const inUse = this.#material()
    const authorities = await pinnedAuthorities(wish, (inUse?.authorities ?? []).map(parse), () =>
      this.#ask([], { anyServer: true }, address, (client) => client.authorities(signal)),
    )
    if (this.#isDone(address, names, authorities)) return 'already-enrolled'
    const [name = 'localhost'] = names
    const key = await pendingKey.take(inUse?.key)
    const request = await requestForKey(pendingKey.file, { commonName: name, names }, signal)
    await this.#ask(authorities, {}, address, async (client) => {
      const given = await client.enrol(request, name, wish.token, signal)
      const chain = await chainOf(given, { key, names, authorities }, client, signal)
      await certificate.install(chain, key, 'enrolled', authorities.map(String).join(''), address)
    })
    await pendingKey.drop()
    this.#succeeded()
    log.info({ server: address, names }, 'the certificate of this host was signed by the authority of the cluster')
    return 'enrolled'
  }

  async #renew(signal: AbortSignal): Promise<void> {
    const { certificate, certificateFile, pendingKey, log } = this.#options
    const { server, certificate: facts } = certificate.status()
    if (server === undefined || facts === undefined) return
    const material = certificate.material()
    const authorities = material.authorities.map(parse)
    const key = await pendingKey.take(material.key)
    const request = await renewalRequest(pendingKey.file, certificateFile, signal)
    const identity = { key: material.key, cert: material.chain }
    await this.#ask(authorities, { identity }, server, async (client) => {
      const given = await client.renew(request, signal)
      const chain = await chainOf(given, { key, names: facts.names, authorities }, client, signal)
      await certificate.install(chain, key, 'enrolled', undefined, server)
    })
    await pendingKey.drop()
    log.info({ server }, 'the certificate of this host was renewed')
  }

  // One at a time; what was begun is ended by the shutdown or the deadline only.
  async #alone<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return this.#locks.run(LOCK, this.#stopping.signal, async () => {
      try {
        const result = await work(AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(TIMEOUT_MS)]))
        this.#lastError = ''
        return result
      } catch (error) {
        this.#lastError = toAgentError(error).message
        throw error
      }
    })
  }

  async #ask<T>(
    authorities: readonly X509Certificate[],
    options: HttpsExchangeOptions,
    address: string,
    work: (client: EstClient) => Promise<T>,
  ): Promise<T> {
    const http = await this.#options.openExchange(authorities.map(String), options)
    try {
      return await work(new EstClient(http, address))
    } finally {
      await http.close()
    }
  }

  #isDone(address: string, names: readonly string[], authorities: readonly X509Certificate[]): boolean {
    const { origin, server } = this.#options.certificate.status()
    const material = this.#material()
    if (origin !== 'enrolled' || server !== address || material === undefined) return false
    const prints = (certificates: readonly X509Certificate[]) => certificates.map((one) => one.fingerprint256).join()
    return (
      (this.#renewAt() ?? 0) > Date.now() &&
      coversNames(parse(material.chain), names) &&
      prints(material.authorities.map(parse)) === prints(authorities)
    )
  }

  // A failed attempt puts off the next one, not what the certificate is.
  #dueAt(): number | undefined {
    const due = this.#renewAt()
    return due === undefined ? undefined : Math.max(due, this.#notBefore)
  }

  #renewAt(): number | undefined {
    const { origin, server, certificate } = this.#options.certificate.status()
    if (origin !== 'enrolled' || server === undefined || certificate === undefined) return undefined
    const { notBefore, notAfter } = certificate
    return notAfter - Math.min(RENEW_BEFORE_MS, (notAfter - notBefore) / 3)
  }

  #material(): TlsMaterial | undefined {
    const { certificate } = this.#options
    return certificate.status().certificate === undefined ? undefined : certificate.material()
  }

  #succeeded(): void {
    this.#notBefore = 0
    this.#retryMs = FIRST_RETRY_MS
  }
}

async function chainOf(
  given: readonly string[],
  issued: IssuedFor,
  client: EstClient,
  signal: AbortSignal,
): Promise<string> {
  try {
    return issuedChain(given, issued)
  } catch (error) {
    // The certificates in between may be among those of the authorities only.
    const more = await client.authorities(signal).catch(() => {
      throw error
    })
    return issuedChain([...given, ...more], issued)
  }
}

function parse(pem: string): X509Certificate {
  return new X509Certificate(pem)
}
