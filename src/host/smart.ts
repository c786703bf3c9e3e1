import type { Logger } from '../core/context.ts'
import { errorText, isAgentError } from '../core/errors.ts'
import type { SmartStatus } from '../core/model.ts'
import { monotonicMs } from '../platform/clock.ts'
import { run } from '../platform/exec.ts'

const FRESH_MS = 10 * 60_000
const TOOL_TIMEOUT_MS = 5_000
// Exit codes of smartctl are a bit mask of findings; the answer on stdout counts (smartctl(8)).
const ANY_CODE = Array.from({ length: 256 }, (_, code) => code)

/** The health that disks tell of themselves. */
export interface SmartWatch {
  /** The last answer, at once; one that is missing or old is asked for in the background. */
  status(disk: string): SmartStatus
  /** Resolves when no question is under way. */
  settled(): Promise<void>
}

/** Asks through smartctl (package smartmontools), one disk after the other, without waking one that sleeps. Where it is not installed all is UNKNOWN. */
export function createSmartWatch(log: Logger, tool = 'smartctl'): SmartWatch {
  const answers = new Map<string, { status: SmartStatus; at: number }>()
  const asking = new Set<string>()
  let missing = false
  let queue: Promise<void> = Promise.resolve()
  const ask = async (disk: string) => {
    let status: SmartStatus = answers.get(disk)?.status ?? 'UNKNOWN'
    try {
      if (!missing) status = (await askDisk(tool, disk)) ?? status
    } catch (error) {
      missing = isAgentError(error, 'COMMAND_MISSING')
      if (!missing) log.debug({ disk, err: errorText(error) }, 'the disk was not asked for its health')
    }
    answers.set(disk, { status, at: monotonicMs() })
    asking.delete(disk)
  }
  return {
    status(disk) {
      const known = answers.get(disk)
      if (!asking.has(disk) && (known === undefined || monotonicMs() - known.at > FRESH_MS)) {
        asking.add(disk)
        queue = queue.then(() => ask(disk))
      }
      return known?.status ?? 'UNKNOWN'
    },
    settled: () => queue,
  }
}

async function askDisk(tool: string, disk: string): Promise<SmartStatus | undefined> {
  const { stdout } = await run({
    file: tool,
    args: ['--json', '--health', '--nocheck=standby', disk],
    package: 'smartmontools',
    timeoutMs: TOOL_TIMEOUT_MS,
    okCodes: ANY_CODE,
    maxOutputBytes: 1024 * 1024,
  })
  return parseSmart(stdout)
}

/** The verdict in smartctl's JSON; undefined when it has none (the disk sleeps, or does not know SMART). */
export function parseSmart(text: string): SmartStatus | undefined {
  try {
    const answer = JSON.parse(text) as { smart_status?: { passed?: unknown } }
    const passed = answer.smart_status?.passed
    return typeof passed === 'boolean' ? (passed ? 'PASSED' : 'FAILED') : undefined
  } catch {
    return undefined
  }
}
