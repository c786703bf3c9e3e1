import type { z } from 'zod'

/** A served request after validation. */
export interface RouteInput<P, Q, B> {
  readonly params: P
  readonly query: Q
  readonly body: B
  /** Fires when the caller is gone. */
  readonly signal: AbortSignal
}

export interface RouteAnswer {
  readonly status: number
  /** JSON value; a string together with `contentType` goes out as it is. */
  readonly body?: unknown
  readonly contentType?: string
}

interface RouteOf<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType> {
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** Path with `:name` parameters. */
  readonly url: string
  readonly summary: string
  readonly params?: P
  readonly query?: Q
  readonly body?: B
  /** Schema of the answer by status; null = no body. Errors are the same everywhere and are not listed. */
  readonly responses: Readonly<Record<number, z.ZodType | null>>
  handle(input: RouteInput<z.output<P>, z.output<Q>, z.output<B>>): RouteAnswer | Promise<RouteAnswer>
}

/** One route: what validates its requests also describes it in the OpenAPI document. */
export interface Route {
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly url: string
  readonly summary: string
  readonly params?: z.ZodType
  readonly query?: z.ZodType
  readonly body?: z.ZodType
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
