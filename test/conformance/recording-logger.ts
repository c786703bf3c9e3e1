import type { Logger } from '../../src/core/context.ts'

/** A logger that keeps every line as JSON text, for tests that look for what must (not) be in there. */
export function recordingLogger(lines: string[] = []): Logger & { readonly lines: string[] } {
  const at = (level: string) => (fields: object, message?: string) => {
    lines.push(JSON.stringify({ level, ...fields, message }))
  }
  return {
    lines,
    trace: at('trace'),
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: () => recordingLogger(lines),
  }
}
