import type { Duplex } from 'node:stream'
import type { z } from 'zod'

/** A served request after validation. */
export interface RouteInput<P, Q, B> {
  readonly params: P
  readonly query: Q
  readonly body: B
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  /** Fires when the caller is gone. */
  readonly signal: AbortSignal
  /** IP address of the caller; undefined for the unix socket. */
  readonly peer?: string | undefined
  /** The caller came over the unix socket, which only root reaches. */
  readonly local: boolean
}

export interface RouteAnswer {
  readonly status: number
  /** JSON value; a string together with `contentType` goes out as it is. */
  readonly body?: unknown
  readonly contentType?: string
  readonly headers?: Readonly<Record<string, string>>
  /** In place of `body`: read only as fast as the caller takes it, and not at all for HEAD; an error in the middle cuts the connection. */
  readonly stream?: AsyncIterable<Uint8Array | string>
  /** In place of a body: the request becomes a WebSocket, and `use` carries it to its end; `abandon` when it does not come to that. Only of a route that `upgrades`. */
  readonly upgrade?: { use(peer: Duplex): Promise<void>; abandon(): void }
  /** The stream tells of what is going on: each piece is asked for when it can be sent, and the stream ends when the server closes. */
  readonly live?: boolean
}

interface RouteOf<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Path with `:name` parameters. */
  readonly url: string
  readonly summary: string
  /** Whether it is told of in the audit log: every method but GET is, unless said otherwise. */
  readonly changes?: boolean
  readonly params?: P
  readonly query?: Q
  readonly body?: B
  /** The body is of any type and size, and `body` is its bytes as they arrive (AsyncIterable<Uint8Array>). */
  readonly receives?: boolean
  /** Served over WebSocket only; for pages of every origin, so that it has to prove the caller by other means. */
  readonly upgrades?: boolean
  /** Schema of the answer by status; null = no body. Errors are the same everywhere and are not listed. */
  readonly responses: Readonly<Record<number, z.ZodType | null>>
  handle(input: RouteInput<z.output<P>, z.output<Q>, z.output<B>>): RouteAnswer | Promise<RouteAnswer>
}

/** One route: what validates its requests also describes it in the OpenAPI document. */
export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly url: string
  readonly summary: string
  readonly changes?: boolean
  readonly params?: z.ZodType
  readonly query?: z.ZodType
  readonly body?: z.ZodType
  readonly receives?: boolean
  readonly upgrades?: boolean
  readonly responses: Readonly<Record<number, z.ZodType | null>>
  handle(input: RouteInput<unknown, unknown, unknown>): RouteAnswer | Promise<RouteAnswer>
}

/** Declares a route with the types of its schemas; validation happens before `handle`, so forgetting the types here is sound. */
export function route<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType>(spec: RouteOf<P, Q, B>): Route {
  return spec
}

/** 200 with a JSON body. */
export const ok = (body: unknown): RouteAnswer => ({ status: 200, body })

/** 204. */
export const noContent: RouteAnswer = { status: 204 }
