import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** What a script left: exit code (or the signal that ended it) and its whole output. */
export interface ScriptResult {
  readonly code: number | NodeJS.Signals
  readonly stdout: string
  readonly stderr: string
}

/** The path of a file of the checkout, from its root. */
export function checkoutPath(relative: string): string {
  return fileURLToPath(new URL(`../../../${relative}`, import.meta.url))
}

/** Runs a program without input and never rejects for its exit code; ends it with SIGKILL after `timeoutMs` (code SIGKILL then). */
export async function runScript(
  file: string,
  args: readonly string[] = [],
  options: {
    readonly env?: Readonly<Record<string, string | undefined>>
    readonly cwd?: string
    readonly timeoutMs?: number
  } = {},
): Promise<ScriptResult> {
  const child = spawn(file, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: options.timeoutMs ?? 60_000,
    killSignal: 'SIGKILL',
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  return { code: code ?? signal ?? 'SIGKILL', stdout, stderr }
}
