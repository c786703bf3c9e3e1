import { rm, stat } from 'node:fs/promises'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import type { Logger } from '../core/context.ts'
import { AgentError, toAgentError } from '../core/errors.ts'
import { KeyedLock } from '../core/keyed-lock.ts'
import { readTextIfPresent, writeFileAtomic } from '../platform/files.ts'
import { makeRequest, makeSelfSigned, type CertificateSubject } from '../platform/openssl.ts'
import { certificateFacts, coversNames, type CertificateFacts } from './certificate-facts.ts'
import {
  finishWriting,
  identitySignature,
  readIdentityTexts,
  writeIdentity,
  type CertificateOrigin,
  type IdentityPaths,
  type NewIdentity,
} from './identity-files.ts'
import { readRevocationLists, type RevocationList } from './revocation-lists.ts'
import { readAuthorities, readIdentity, requireValidity, type ServerIdentity } from './server-identity.ts'

/** What TLS listeners use; all PEM. */
export interface TlsMaterial {
  readonly key: string
  readonly chain: string
  /** Who may sign certificates of clients; nobody when empty. */
  readonly authorities: readonly string[]
  /** Which of those are revoked. With any list there has to be a valid one of each authority, or nobody of it is believed. */
  readonly revocations: readonly string[]
}

/** The certificate of this host as TLS listeners see it. */
export interface TlsSource {
  /** What is in use; CERTIFICATE_MISSING before there is one. */
  material(): TlsMaterial
  /** Calls back after each change, `authorities` when (also) those of clients or their revocations changed; returns what ends that. */
  onChange(listener: (change: { readonly authorities: boolean }) => void): () => void
}

export interface HostCertificateOptions {
  readonly paths: IdentityPaths
  /** Lists of revoked certificates of clients, kept up to date by somebody else; none when absent. */
  readonly crl?: string
  /** `manual`: the agent makes none by itself. */
  readonly mode: 'self-signed' | 'manual' | 'acme'
  /** A listener needs it: then it is made, looked after, and its absence is an error. */
  readonly used: boolean
  readonly commonName: string | undefined
  readonly validityDays: number
  /** Host name and management address as they are now. */
  readonly names: (signal: AbortSignal) => Promise<readonly string[]>
  readonly log: Logger
}

/** What is told of it; nothing in it is secret. */
export interface HostCertificateStatus {
  readonly origin: CertificateOrigin | undefined
  readonly certificate: CertificateFacts | undefined
  readonly authorities: readonly CertificateFacts[]
  readonly revocations: readonly Omit<RevocationList, 'pem'>[]
  /** Who renews it, when it was got by enrolment. */
  readonly server: string | undefined
  /** Why the files as they are now are not in use; empty when they are. */
  readonly lastError: string
}

interface Loaded {
  readonly identity: ServerIdentity | undefined
  readonly authorities: readonly X509Certificate[]
  readonly revocations: readonly RevocationList[]
  readonly origin: CertificateOrigin
  readonly server?: string | undefined
}

const LOOK_INTERVAL_MS = 5_000
const CHECK_INTERVAL_MS = 60 * 60_000
const DAY_MS = 24 * 60 * 60_000
const RENEW_BEFORE_DAYS = 30
const LOCAL_NAMES = ['localhost', '127.0.0.1', '::1']
const LOCK = 'certificate'

/**
 * Key, certificate and client authorities of this host: the one owner of their files. Follows the files while they change, and keeps what is in use when they
 * cannot be used.
 */
export class HostCertificate implements TlsSource {
  readonly #options: HostCertificateOptions
  readonly #locks = new KeyedLock()
  readonly #listeners = new Set<(change: { readonly authorities: boolean }) => void>()
  readonly #stopping = new AbortController()
  #loaded: Loaded = { identity: undefined, authorities: [], revocations: [], origin: 'files' }
  #signature = ''
  #lastError = ''
  #timers: NodeJS.Timeout[] = []

  constructor(options: HostCertificateOptions) {
    this.#options = options
  }

  /**
   * Takes up what is there, makes a self-signed certificate where one is needed, and looks after both from then on. When a listener needs a certificate and
   * there is none to be used: CERTIFICATE_INVALID, CERTIFICATE_MISSING, CERTIFICATE_NOT_WRITABLE.
   */
  async start(): Promise<void> {
    const { paths, used, log } = this.#options
    try {
      await finishWriting(paths)
      await this.#read()
      if (used) await this.#renew()
      if (used && this.#loaded.identity === undefined) throw missing(paths)
    } catch (error) {
      if (used) throw error
      this.#complain(error)
    }
    const { identity } = this.#loaded
    if (used && identity !== undefined) {
      const { subject, notAfter } = certificateFacts(identity.certificate)
      log.info({ subject, notAfter: new Date(notAfter).toISOString(), origin: this.#loaded.origin }, 'certificate')
      if (notAfter <= Date.now()) log.error({ subject }, 'the certificate of this host has expired')
    }
    if (!used) return
    this.#timers = [
      setInterval(() => void this.look(), LOOK_INTERVAL_MS),
      setInterval(() => void this.check(), CHECK_INTERVAL_MS),
    ]
    for (const timer of this.#timers) timer.unref()
  }

  /** Ends the watch. */
  stop(): void {
    this.#stopping.abort(new AgentError('SHUTTING_DOWN', 'the agent is stopping'))
    for (const timer of this.#timers) clearInterval(timer)
  }

  material(): TlsMaterial {
    const { identity, authorities, revocations } = this.#loaded
    if (identity === undefined) throw missing(this.#options.paths)
    return {
      key: identity.key,
      chain: identity.chain,
      authorities: authorities.map(String),
      revocations: revocations.map(({ pem }) => pem),
    }
  }

  onChange(listener: (change: { readonly authorities: boolean }) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** From memory. */
  status(): HostCertificateStatus {
    const { identity, authorities, revocations, origin, server } = this.#loaded
    return {
      origin: identity === undefined ? undefined : origin,
      certificate: identity === undefined ? undefined : certificateFacts(identity.certificate),
      authorities: authorities.map(certificateFacts),
      revocations: revocations.map(({ issuer, nextUpdate }) => ({ issuer, nextUpdate })),
      server,
      lastError: this.#lastError,
    }
  }

  /** Takes the files up now if they changed. Never throws: what cannot be used is in the log and in the status. */
  async look(): Promise<void> {
    await this.#alone(async () => {
      if ((await this.#sign()) === this.#signature) return
      await this.#read()
    }).catch((error: unknown) => this.#complain(error))
  }

  /** Makes the agent's own certificate anew when it will expire or this host has another name or address now. Never throws. */
  async check(): Promise<void> {
    await this.#alone(() => this.#renew()).catch((error: unknown) => this.#complain(error))
  }

  /**
   * Uses a certificate from now on, checked before anything is written. Without `key` it has to fit the last request or the key in use. CERTIFICATE_INVALID,
   * CERTIFICATE_EXPIRED, CERTIFICATE_NOT_WRITABLE.
   */
  async install(
    chain: string,
    key: string | undefined,
    origin: CertificateOrigin,
    ca?: string,
    server?: string,
  ): Promise<void> {
    await this.#alone(async () => {
      const where = { chain: 'the certificate', key: 'the private key' }
      const identity = key === undefined ? await this.#identityOf(chain) : readIdentity(chain, key, where)
      requireValidity(identity.certificate, where.chain)
      if (ca !== undefined) requireAuthorities(ca)
      await this.#write({
        pair: { key: identity.key, chain: identity.chain, origin, ...(server === undefined ? {} : { server }) },
        ...(ca === undefined ? {} : { ca }),
      })
      await rm(this.#requestFile(), { force: true })
    })
  }

  /** Replaces the authorities that clients are believed by. CERTIFICATE_INVALID, CERTIFICATE_EXPIRED, CERTIFICATE_NOT_WRITABLE. */
  async trust(ca: string): Promise<void> {
    await this.#alone(async () => {
      requireAuthorities(ca)
      await this.#write({ ca })
    })
  }

  /** A new self-signed certificate in place of what is there. */
  async remake(subject: Partial<CertificateSubject> = {}, days?: number): Promise<void> {
    await this.#alone(() => this.#makeSelfSigned(subject, days))
  }

  /** A signing request for a new key, which stays on this host until the certificate is installed; another request replaces it. CERTIFICATE_NOT_WRITABLE. */
  async request(subject: Partial<CertificateSubject> = {}): Promise<string> {
    return this.#alone(async () => {
      const { key, text } = await makeRequest(await this.#subject(subject), this.#stopping.signal)
      try {
        await writeFileAtomic(this.#requestFile(), key)
      } catch (error) {
        throw notWritable(this.#requestFile(), error)
      }
      return text
    })
  }

  /** Host name, local names and management address: what the certificate is to be good for. */
  async names(): Promise<string[]> {
    return [...new Set([...(await this.#options.names(this.#stopping.signal)), ...LOCAL_NAMES])]
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    return this.#locks.run(LOCK, this.#stopping.signal, work)
  }

  async #subject(wish: Partial<CertificateSubject>): Promise<CertificateSubject> {
    const names = wish.names ?? (await this.names())
    return { commonName: wish.commonName ?? this.#options.commonName ?? names[0] ?? 'localhost', names }
  }

  async #makeSelfSigned(wish: Partial<CertificateSubject> = {}, days = this.#options.validityDays): Promise<void> {
    const { key, text } = await makeSelfSigned(await this.#subject(wish), days, this.#stopping.signal)
    await this.#write({ pair: { key, chain: text, origin: 'self-signed' } })
  }

  async #renew(): Promise<void> {
    const { identity, origin } = this.#loaded
    if (this.#options.mode === 'manual') return
    if (identity === undefined) {
      // Half a pair was put there by somebody.
      const { chain, key } = await readIdentityTexts(this.#options.paths)
      if (chain !== undefined || key !== undefined) throw missing(this.#options.paths)
      return this.#makeSelfSigned()
    }
    if (origin !== 'self-signed') return
    const { notBefore, notAfter } = certificateFacts(identity.certificate)
    const before = Math.min(RENEW_BEFORE_DAYS * DAY_MS, (notAfter - notBefore) / 3)
    if (notAfter - before > Date.now() && coversNames(identity.certificate, await this.names())) return
    await this.#makeSelfSigned()
    this.#options.log.info({}, 'the self-signed certificate was made anew')
  }

  async #write(identity: NewIdentity): Promise<void> {
    await writeIdentity(this.#options.paths, identity)
    await this.#read()
  }

  async #read(): Promise<void> {
    // Before the content: what changes in between is read once more.
    this.#signature = await this.#sign()
    try {
      this.#use(await this.#load())
    } catch (error) {
      // The same files may be readable the next time.
      this.#signature = ''
      throw error
    }
  }

  async #load(): Promise<Loaded> {
    const { paths, crl } = this.#options
    const { chain, key, ca, origin, server } = await readIdentityTexts(paths)
    if ((chain === undefined) !== (key === undefined)) throw missing(paths)
    const identity =
      chain === undefined || key === undefined
        ? undefined
        : readIdentity(chain, key, { chain: paths.cert, key: paths.key })
    const authorities = ca === undefined ? [] : readAuthorities(ca, paths.ca)
    const revocations = crl === undefined ? [] : await readRevocationLists(crl, this.#stopping.signal)
    if (key !== undefined && (await isReadByOthers(paths.key)))
      this.#options.log.warn({ file: paths.key }, 'the private key can be read by others than its owner; use mode 0600')
    return { identity, authorities, revocations, origin, server }
  }

  #use(next: Loaded): void {
    const before = this.#loaded
    if (before.identity !== undefined && next.identity === undefined) throw missing(this.#options.paths)
    this.#loaded = next
    this.#lastError = ''
    const trust = ({ authorities, revocations }: Loaded) =>
      [...authorities.map(({ fingerprint256 }) => fingerprint256), ...revocations.map(({ pem }) => pem)].join()
    const authorities = trust(before) !== trust(next)
    const changed = before.identity?.chain !== next.identity?.chain || before.identity?.key !== next.identity?.key
    if (before.identity === undefined || !(changed || authorities)) return
    this.#options.log.info({ origin: next.origin, authorities: next.authorities.length }, 'certificates were replaced')
    for (const listener of this.#listeners) listener({ authorities })
  }

  #sign(): Promise<string> {
    const { paths, crl } = this.#options
    return identitySignature(paths, crl === undefined ? [] : [crl])
  }

  async #identityOf(chain: string): Promise<ServerIdentity> {
    const where = { chain: 'the certificate', key: 'the key of this host' }
    for (const key of [await readTextIfPresent(this.#requestFile()), this.#loaded.identity?.key]) {
      if (key !== undefined && fits(chain, key)) return readIdentity(chain, key, where)
    }
    throw new AgentError(
      'CERTIFICATE_INVALID',
      'the certificate fits no key of this host; make a request first (limiquantix-node certificate request), or send its private key with it',
    )
  }

  #requestFile(): string {
    return `${this.#options.paths.key}.request`
  }

  #complain(error: unknown): void {
    const { message, reason } = toAgentError(error)
    if (this.#stopping.signal.aborted || message === this.#lastError) return
    this.#lastError = message
    this.#options.log.error({ reason, err: message }, 'certificate files cannot be used; what was in use stays')
  }
}

// Expired ones would lock every client out.
function requireAuthorities(ca: string): void {
  const where = 'the certificates of authorities'
  for (const authority of readAuthorities(ca, where)) requireValidity(authority, where)
}

async function isReadByOthers(file: string): Promise<boolean> {
  const { mode } = await stat(file)
  return (mode & 0o004) !== 0
}

function fits(chain: string, key: string): boolean {
  try {
    return new X509Certificate(chain).checkPrivateKey(createPrivateKey(key))
  } catch {
    throw new AgentError('CERTIFICATE_INVALID', 'the certificate is not one in PEM form')
  }
}

function missing({ cert, key }: IdentityPaths): AgentError {
  const text = `a TLS listener needs both ${cert} and ${key}; put them there, or let server.http.tls.mode be self-signed and remove what is there`
  return new AgentError('CERTIFICATE_MISSING', text)
}

function notWritable(file: string, error: unknown): AgentError {
  return new AgentError('CERTIFICATE_NOT_WRITABLE', `${file} cannot be written: ${toAgentError(error).message}`, {
    cause: error,
  })
}
