import { z } from 'zod'
import type { Route } from './route.ts'

const errorSchema = z.object({ error: z.string(), message: z.string() })

/** The OpenAPI 3.1 document of `routes`, made from the schemas that validate their requests. */
export function buildOpenApi(routes: readonly Route[], version: string): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const route of routes) {
    const path = route.url.replace(/:(\w+)/g, '{$1}')
    ;(paths[path] ??= {})[route.method.toLowerCase()] = describeRoute(route)
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'limiquantix-node',
      version,
      description:
        'HTTP API of the node agent. Every error has the body {error, message}; error is a reason of docs/errors.md in lower case.',
    },
    paths,
    components: { schemas: { Error: z.toJSONSchema(errorSchema) } },
  }
}

function describeRoute(route: Route): object {
  return {
    summary: route.summary,
    parameters: [...parameters('path', route.params), ...parameters('query', route.query)],
    ...(route.body === undefined
      ? {}
      : {
          requestBody: {
            required: !route.body.safeParse(undefined).success,
            content: { 'application/json': { schema: jsonSchema(route.body, 'input') } },
          },
        }),
    ...(route.receives === true
      ? { requestBody: { required: true, content: { '*/*': { schema: { type: 'string', format: 'binary' } } } } }
      : {}),
    responses: {
      ...Object.fromEntries(
        Object.entries(route.responses).map(([status, schema]) => [
          status,
          {
            description: route.summary,
            ...(schema === null
              ? {}
              : { content: { [mediaTypeOf(schema)]: { schema: jsonSchema(schema, 'output') } } }),
          },
        ]),
      ),
      default: {
        description: 'Error',
        content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
      },
    },
  }
}

// Answers that are plain text are declared as a bare string, bytes as a file; text of another kind says so (JSON Schema, contentMediaType).
function mediaTypeOf(schema: z.ZodType): string {
  const stated = schema.meta()?.['contentMediaType']
  if (typeof stated === 'string') return stated
  if (schema instanceof z.ZodFile) return 'application/octet-stream'
  return schema instanceof z.ZodString ? 'text/plain' : 'application/json'
}

function parameters(place: 'path' | 'query', schema: z.ZodType | undefined): object[] {
  if (schema === undefined) return []
  const { properties = {}, required = [] } = z.toJSONSchema(schema, { io: 'input' })
  return Object.entries(properties).map(([name, property]) => ({
    name,
    in: place,
    required: place === 'path' || required.includes(name),
    schema: property,
  }))
}

function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): object {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io })
  return rest
}
