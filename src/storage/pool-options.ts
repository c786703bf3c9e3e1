import type { z } from 'zod'
import { AgentError, isAgentError } from '../core/errors.ts'
import { parseAbsolutePath } from '../platform/files.ts'
import { forbiddenPoolPath } from './pool-path.ts'

/** `options` checked against the schema of a pool type; POOL_CONFIG_INVALID names the field as the wire does (`nfs.export_path`). */
export function parsePoolOptions<T>(prefix: string, schema: z.ZodType<T>, options: unknown): T {
  const parsed = schema.safeParse(options)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  const field = [prefix, ...(issue?.path ?? [])].map((part) => wireName(String(part))).join('.')
  throw new AgentError('POOL_CONFIG_INVALID', `${field}: ${issue?.message ?? 'is not valid'}`)
}

/** The root directory of a pool from its configuration, normalised; POOL_CONFIG_INVALID for a place no pool may be at. */
export function poolDirectory(field: string, text: string, reserved: readonly string[]): string {
  const path = absolutePathOption(field, text)
  const why = forbiddenPoolPath(path, reserved)
  if (why !== undefined) throw new AgentError('POOL_CONFIG_INVALID', `${field}: ${path} ${why}`)
  return path
}

/** An absolute path from the configuration of a pool, normalised; POOL_CONFIG_INVALID names the field. */
export function absolutePathOption(field: string, text: string): string {
  try {
    return parseAbsolutePath(text, field)
  } catch (error) {
    if (isAgentError(error, 'INVALID_PATH')) throw new AgentError('POOL_CONFIG_INVALID', error.message)
    throw error
  }
}

function wireName(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}
