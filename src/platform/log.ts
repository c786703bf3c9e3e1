import { pino } from 'pino'
import type { Logger } from '../core/context.ts'

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error'

/** Keys whose values never reach a log line, at any of the usual depths. */
const SECRET_KEYS = [
  'userData',
  'metaData',
  'networkConfig',
  'vendorData',
  'password',
  'chapPassword',
  'token',
  'authorization',
  'key',
  'secret',
]

/** JSON lines on stdout (journald keeps them); secret keys are replaced by `[secret]`. */
export function createLogger(level: LogLevel): Logger {
  return pino({
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: { paths: SECRET_KEYS.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]), censor: '[secret]' },
  })
}
