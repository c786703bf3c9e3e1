import type { Dispatcher } from 'undici'
import connect from 'undici/lib/api/api-connect.js'
import buildConnector from 'undici/lib/core/connect.js'
import Dispatchers from 'undici/lib/dispatcher/dispatcher.js'
import EnvHttpProxyAgent from 'undici/lib/dispatcher/env-http-proxy-agent.js'
import { DirectSocket } from './direct-socket.ts'
import { guardedLookup, isNamedMirror, type FetchPolicy } from './fetch-policy.ts'
import { trustedAuthorities } from './trusted-authorities.ts'

// Loaded by file: the index brings fetch, caches and mocks with it, 13 MB in every transfer worker. The index would also add this method, which tunnels through proxies need.
Object.assign(Dispatchers.prototype, { connect })

/** How this host reaches servers; what is left out is taken from the environment. */
export interface FetchNetwork {
  /** More authorities to believe servers by, PEM. */
  readonly caFile?: string
  /** URL of the proxy for everything but `noProxy` (hosts and domains, separated by commas). */
  readonly proxy?: string
  readonly noProxy?: string
}

/** What a connection is made by. */
export interface ConnectionRules extends FetchPolicy {
  readonly network?: FetchNetwork
  /** Deadline for a connection, per hop. */
  readonly connectTimeoutMs: number
}

/** What a request is sent on; `direct` with plain HTTP alone. */
export interface Wire {
  readonly agent: Pick<Dispatcher, 'dispatch' | 'destroy'>
  readonly direct: DirectSocket | undefined
}

/**
 * One connection, made at the first request. The next request to the same server goes over it again when the answer before was taken to its end: neither a handshake nor the slow start of a new
 * connection is paid twice. One request at a time.
 */
export class FetchConnection {
  #wire: (Wire & { readonly server: string }) | undefined

  /** What a request to `url` is sent on; a connection to another server is dropped for it. */
  async to(url: URL, rules: ConnectionRules): Promise<Wire> {
    const named = isNamedMirror(url, rules.rewrites)
    // The same server by another rule is another one: its address was judged by that.
    const server = `${url.origin} ${named}`
    if (this.#wire?.server === server) return this.#wire
    this.close()
    const authorities = url.protocol === 'https:' ? await trustedAuthorities(rules.network?.caFile) : undefined
    this.#wire = { server, ...makeWire(url, named ? { ...rules, allowPrivateAddresses: true } : rules, authorities) }
    return this.#wire
  }

  /** Drops the connection; a later request makes another one. */
  close(): void {
    this.#wire?.agent.destroy().catch(() => undefined)
    this.#wire = undefined
  }
}

function makeWire(url: URL, rules: ConnectionRules, authorities: string[] | undefined): Wire {
  const direct = url.protocol === 'http:' ? new DirectSocket() : undefined
  const { proxy, noProxy } = rules.network ?? {}
  const trust = authorities === undefined ? {} : { ca: authorities }
  const agent = new EnvHttpProxyAgent({
    ...(proxy === undefined ? {} : { httpProxy: proxy, httpsProxy: proxy }),
    ...(noProxy === undefined ? {} : { noProxy }),
    requestTls: trust,
    connections: 1,
    pipelining: 1,
    allowH2: false,
    // The owner of the transfer has its own stall clock; undici's does not run under back-pressure.
    bodyTimeout: 0,
    headersTimeout: 0,
    connectTimeout: rules.connectTimeoutMs,
    connect: buildConnector({
      allowH2: false,
      timeout: rules.connectTimeoutMs,
      lookup: guardedLookup(rules),
      ...trust,
      ...(direct === undefined ? {} : { onread: direct.onread }),
    }),
  })
  return { agent, direct }
}
