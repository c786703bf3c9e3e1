import type { Logger } from '../../core/context.ts'
import { AgentError, toAgentError } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import { abortable, KeyedLock } from '../../core/keyed-lock.ts'
import type { HttpsExchange } from '../../platform/https-exchange.ts'
import { makeRequest } from '../../platform/openssl.ts'
import type { HostCertificate } from '../host-certificate.ts'
import { newAccount, readAccount, writeAccount, type AcmeAccount } from './acme-account.ts'
import { AcmeClient, type ChallengeResponses } from './acme-client.ts'

export interface AcmeSettings {
  readonly enabled: boolean
  /** Of the certificate that the agent asks for by itself; none when empty. */
  readonly domains: readonly string[]
  readonly email: string
  readonly directoryUrl: string
  readonly accountPath: string
  readonly autoRenew: boolean
  readonly renewBeforeDays: number
}

export interface AcmeIssuerOptions {
  readonly settings: AcmeSettings
  readonly certificate: HostCertificate
  /** Errors of the files that it reads. */
  readonly openExchange: () => Promise<HttpsExchange>
  /** Serves `GET /.well-known/acme-challenge/<token>` where servers look for it, until it is closed. LISTEN_FAILED. */
  readonly serveChallenges: (answer: (token: string) => string | undefined) => Promise<{ close(): Promise<void> }>
  readonly log: Logger
}

/** What is told of it; nothing in it is secret. Times are milliseconds since the epoch. */
export interface AcmeStatus extends AcmeSettings {
  /** Undefined while there is no account at this server. */
  readonly accountUrl: string | undefined
  readonly issuing: boolean
  /** When the agent asks for the next one by itself; undefined when it does not. */
  readonly nextAttemptAt: number | undefined
  readonly lastError: string
}

const ISSUE_TIMEOUT_MS = 180_000
const DAY_MS = 24 * 60 * 60_000
const LOOK_INTERVAL_MS = 60_000
const FIRST_RETRY_MS = 60 * 60_000
const MAX_RETRY_MS = DAY_MS
const LOCK = 'acme'
const DOMAIN =
  /^(?=.{1,253}$)([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/

/** Gets certificates for this host from an ACME server, when asked and in time before they expire. */
export class AcmeIssuer {
  readonly #options: AcmeIssuerOptions
  readonly #locks = new KeyedLock()
  readonly #stopping = new AbortController()
  #account: AcmeAccount | undefined
  #issuing = false
  #lastError = ''
  #retryMs = FIRST_RETRY_MS
  #notBefore = 0
  #issuedAt = -Infinity
  #timer: NodeJS.Timeout | undefined

  constructor(options: AcmeIssuerOptions) {
    this.#options = options
  }

  /** Reads the account. */
  async load(): Promise<void> {
    const { accountPath, directoryUrl } = this.#options.settings
    this.#account = await readAccount(accountPath, directoryUrl)
  }

  /** Looks after the certificate from now on; the first time at once. Needs the listeners. */
  start(): void {
    if (!this.#options.settings.enabled) return
    this.#timer = setInterval(() => void this.#look(), LOOK_INTERVAL_MS)
    this.#timer.unref()
    void this.#look()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#stopping.abort(new AgentError('SHUTTING_DOWN', 'the agent is stopping'))
  }

  status(): AcmeStatus {
    return {
      ...this.#options.settings,
      email: this.#account?.email ?? this.#options.settings.email,
      accountUrl: this.#account?.accountUrl,
      issuing: this.#issuing,
      nextAttemptAt: this.#dueAt(),
      lastError: this.#lastError,
    }
  }

  /** Makes the account, or finds it; the same again is success. ACME_OFF, ACME_UNAVAILABLE, ACME_REFUSED, CERTIFICATE_NOT_WRITABLE. */
  async register(email: string, caller: AbortSignal): Promise<void> {
    this.#requireEnabled()
    await abortable(
      this.#alone((http, signal) => this.#register(http, email, signal)),
      caller,
    )
  }

  /**
   * Gets a certificate for `domains` (those of the settings when empty) and uses it. Goes on when the caller is gone. ACME_OFF, INVALID_REQUEST, LISTEN_FAILED,
   * ACME_UNAVAILABLE, ACME_REFUSED, CERTIFICATE_*.
   */
  async issue(domains: readonly string[], caller: AbortSignal): Promise<void> {
    this.#requireEnabled()
    const wanted = lowerCase(domains.length > 0 ? domains : this.#options.settings.domains)
    if (wanted.length === 0) throw new AgentError('INVALID_REQUEST', 'domains: name at least one')
    const wrong = wanted.find((domain) => !DOMAIN.test(domain))
    if (wrong !== undefined) throw new AgentError('INVALID_REQUEST', `domains: ${quote(wrong)} is not a host name`)
    await abortable(
      this.#alone((http, signal) => this.#issue(http, wanted, signal)),
      caller,
    )
  }

  async #register(http: HttpsExchange, email: string, signal: AbortSignal): Promise<AcmeAccount> {
    const { accountPath, directoryUrl } = this.#options.settings
    // The key is on disk before the server knows it, so that a kill leaves no account that nobody has the key of.
    const account = { ...(this.#account ?? newAccount(directoryUrl, email)), email, accountUrl: undefined }
    await writeAccount(accountPath, account)
    const accountUrl = await new AcmeClient(http, directoryUrl, account.key, undefined).register(email, signal)
    const registered = { ...account, accountUrl }
    await writeAccount(accountPath, registered)
    this.#options.log.info({ accountUrl }, 'registered at the ACME server')
    return (this.#account = registered)
  }

  async #issue(http: HttpsExchange, domains: readonly string[], signal: AbortSignal): Promise<void> {
    const { settings, certificate, serveChallenges, log } = this.#options
    const account =
      this.#account?.accountUrl === undefined ? await this.#register(http, settings.email, signal) : this.#account
    const tokens = new Map<string, string>()
    const responses: ChallengeResponses = {
      put: (token, keyAuthorization) => void tokens.set(token, keyAuthorization),
      remove: (token) => void tokens.delete(token),
    }
    const { key, text } = await makeRequest({ commonName: domains[0] ?? '', names: domains }, signal)
    const request = Buffer.from(text.replace(/-----[^-]+-----|\s/g, ''), 'base64')
    const server = await serveChallenges((token) => tokens.get(token))
    try {
      const client = new AcmeClient(http, account.directoryUrl, account.key, account.accountUrl)
      const chain = await client.certificate(domains, request, responses, signal)
      await certificate.install(chain, key, 'acme')
    } finally {
      await server.close()
    }
    this.#notBefore = 0
    this.#issuedAt = Date.now()
    this.#retryMs = FIRST_RETRY_MS
    log.info({ domains }, 'a certificate came from the ACME server')
  }

  // One at a time; what was begun is ended by the shutdown or the deadline only.
  async #alone<T>(work: (http: HttpsExchange, signal: AbortSignal) => Promise<T>): Promise<T> {
    return this.#locks.run(LOCK, this.#stopping.signal, async () => {
      this.#issuing = true
      let http: HttpsExchange | undefined
      try {
        http = await this.#options.openExchange()
        const result = await work(http, AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(ISSUE_TIMEOUT_MS)]))
        this.#lastError = ''
        return result
      } catch (error) {
        this.#lastError = toAgentError(error).message
        throw error
      } finally {
        this.#issuing = false
        await http?.close()
      }
    })
  }

  // When the certificate is due by what it is; a failed attempt puts that off.
  #dueAt(): number | undefined {
    const { enabled, domains, autoRenew, renewBeforeDays } = this.#options.settings
    if (!enabled) return undefined
    const { origin, certificate } = this.#options.certificate.status()
    const covered = lowerCase(domains).every((domain) => lowerCase(certificate?.names ?? []).includes(domain))
    if (origin === 'acme' && certificate !== undefined && covered) {
      if (!autoRenew) return undefined
      // Short-lived ones would be renewed for ever otherwise.
      const before = Math.min(renewBeforeDays * DAY_MS, (certificate.notAfter - certificate.notBefore) / 3)
      return Math.max(certificate.notAfter - before, this.#notBefore)
    }
    // One that somebody put there stays.
    const ours = origin === undefined || origin === 'self-signed' || origin === 'acme'
    // Whatever is wrong with the one that just came: servers limit certificates per week.
    const earliest = Math.max(this.#notBefore, this.#issuedAt + FIRST_RETRY_MS)
    return domains.length > 0 && ours ? Math.max(Date.now(), earliest) : undefined
  }

  async #look(): Promise<void> {
    const due = this.#dueAt()
    if (due === undefined || due > Date.now() || this.#issuing) return
    const { settings, certificate, log } = this.#options
    const domains = settings.domains.length > 0 ? settings.domains : (certificate.status().certificate?.names ?? [])
    try {
      await this.issue(domains, this.#stopping.signal)
    } catch (error) {
      if (this.#stopping.signal.aborted) return
      const { reason, message } = toAgentError(error)
      // Servers limit failures per hour and per week.
      this.#notBefore = Date.now() + this.#retryMs
      log.error({ reason, err: message, retryInMs: this.#retryMs }, 'no certificate from the ACME server')
      this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS)
    }
  }

  #requireEnabled(): void {
    if (!this.#options.settings.enabled)
      throw new AgentError('ACME_OFF', 'ACME is off; set server.http.tls.mode: acme, or server.http.tls.acme.enabled')
  }
}

// As servers write names, each once: case means nothing in host names (RFC 4343).
function lowerCase(names: readonly string[]): string[] {
  return [...new Set(names.map((name) => name.toLowerCase()))]
}
