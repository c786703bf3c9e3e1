import type { AgentError } from './errors.ts'

/**
 * Control planes act on substrings of our error text: these words may only stand where they are meant.
 * Words of tools and kernels ("File exists") reach us through causes, so they are replaced at the border, not trusted.
 */
const TRIGGER_WORDS: readonly (readonly [RegExp, string])[] = [
  [/nodomain/gi, 'no-domain'],
  [/not found/gi, 'missing'],
  [/notfound/gi, 'Missing'],
  [/already/gi, 'now'],
  [/does not exist\b/gi, 'is missing'],
  [/exists/gi, 'is present'],
  [/no mount path/gi, 'mount path missing'],
  [/failed_precondition/gi, 'precondition'],
  [/failed to connect to node daemon/gi, 'no connection to the daemon'],
]

/** Reasons whose meaning is the trigger, with the exact words the control plane looks for. */
const MEANT: Readonly<Record<string, RegExp>> = {
  VM_NOT_FOUND: /^VM not found: /,
  POOL_NOT_FOUND: /^pool \S+ not found/,
}

/** The text of an error as control planes may see it: no trigger word except where the reason stands for it. */
export function wireText(error: AgentError): string {
  const meant = MEANT[error.reason]
  const head = meant?.exec(error.message)?.[0] ?? ''
  return head + neutralise(error.message.slice(head.length))
}

/** Any text with the trigger words replaced. */
export function neutralise(text: string): string {
  return TRIGGER_WORDS.reduce((t, [pattern, replacement]) => t.replace(pattern, replacement), text)
}
