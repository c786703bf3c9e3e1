import type { FastifyServerOptions } from 'fastify'
import type { z } from 'zod'
import { fromZodError } from './errors.ts'

type Compilers = NonNullable<NonNullable<FastifyServerOptions['schemaController']>['compilersFactory']>

/**
 * Validation by the zod schemas of the routes. Given as fastify's factories, not set afterwards: fastify then never loads its own compilers (ajv and
 * fast-json-stringify), which would take a sixth of the time that the whole agent has to start.
 */
export const zodCompilers = {
  buildValidator: () => compile,
  buildSerializer: () => () => (data: unknown) => JSON.stringify(data),
} as unknown as Compilers

// fastify's types know JSON schemas only; the schemas of our routes are all zod.
function compile({ schema, httpPart }: { readonly schema: z.ZodType; readonly httpPart?: string }) {
  return (data: unknown) => {
    const result = schema.safeParse(data)
    const place = httpPart === 'querystring' ? 'query' : (httpPart ?? 'request')
    return result.success ? { value: result.data } : { error: fromZodError(result.error, place) }
  }
}
