import type { SecureContextOptions } from 'node:tls'
import { ServerCredentials } from '@grpc/grpc-js'
import type { TlsSource } from '../certificates/host-certificate.ts'

type Watcher = Parameters<ServerCredentials['_addWatcher']>[0]

/** Credentials that show the host's certificate, demand one of the clients' authorities that none of their lists revokes, and follow every change for new connections. */
export function tlsCredentials(source: TlsSource): ServerCredentials {
  return new FollowingCredentials(source)
}

// The library's own that follow changes know nothing of revocation lists.
class FollowingCredentials extends ServerCredentials {
  readonly #source: TlsSource
  #unfollow: (() => void) | undefined

  constructor(source: TlsSource) {
    super({ requestCert: true, rejectUnauthorized: true }, contextOf(source))
    this.#source = source
  }

  override _addWatcher(watcher: Watcher): void {
    super._addWatcher(watcher)
    if (this.#unfollow !== undefined) return
    const update = () => this.updateSecureContextOptions(contextOf(this.#source))
    this.#unfollow = this.#source.onChange(update)
    // What changed since the construction; not at once, because the server that watches is still being made.
    queueMicrotask(update)
  }

  override _removeWatcher(watcher: Watcher): void {
    super._removeWatcher(watcher)
    if (this.getWatcherCount() > 0) return
    this.#unfollow?.()
    this.#unfollow = undefined
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other
  }
}

function contextOf(source: TlsSource): SecureContextOptions {
  const { key, chain, authorities, revocations } = source.material()
  return {
    key,
    cert: chain,
    // Without authorities an empty list: nobody is believed. Leaving it out would mean those of the public web.
    ca: Buffer.from(authorities.join('')),
    ...(revocations.length === 0 ? {} : { crl: [...revocations] }),
  }
}
