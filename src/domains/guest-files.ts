import type { OpContext } from '../core/context.ts'
import { AgentError, isAgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import type { GuestFile } from '../core/model.ts'
import type { GuestAgent, GuestCommandResult } from './guest-agent.ts'

/** What one answer carries of a file in a guest; base64 makes a third more of it. */
export const MAX_GUEST_FILE_BYTES = 4 * 1024 * 1024

const LIST_TIMEOUT_MS = 20_000
const STAT_TIMEOUT_MS = 10_000
const TYPE_BITS = 0o170000
const DIRECTORY = 0o040000
const LINK = 0o120000
const REGULAR = 0o100000

/** Entries of a directory of a POSIX guest, by name; `complete` is false when it has more than one answer carries. Errors: those of GuestAgent. */
export async function listGuestDirectory(
  agent: GuestAgent,
  path: string,
  ctx: OpContext,
): Promise<{ entries: GuestFile[]; complete: boolean }> {
  const root = path.endsWith('/') ? path : `${path}/`
  const args = [root, '-mindepth', '1', '-maxdepth', '1', '-exec', 'stat', '-c', '%f %s %Y %U %G %n', '{}', '+']
  const result = await agent.run('find', args, LIST_TIMEOUT_MS, ctx)
  // An entry that vanished on the way makes `find` fail too; then there are others.
  if (result.timedOut || (result.exitCode !== 0 && result.stdout === ''))
    throw failed(`cannot list ${quote(path)}`, result)
  const entries = parseListing(result.stdout, root, result.truncated)
  return { entries, complete: !result.truncated }
}

/** Content of a regular file of a guest, up to MAX_GUEST_FILE_BYTES. Errors: those of GuestAgent. */
export async function readGuestFile(agent: GuestAgent, path: string, ctx: OpContext): Promise<Buffer> {
  await refuseSpecialFile(agent, path, ctx)
  return agent.readFile(path, MAX_GUEST_FILE_BYTES, ctx)
}

// To open a FIFO hangs the agent in the guest for everybody, until somebody writes into it.
async function refuseSpecialFile(agent: GuestAgent, path: string, ctx: OpContext): Promise<void> {
  const result = await agent.run('stat', ['-L', '-c', '%f %s', path], STAT_TIMEOUT_MS, ctx).catch((error: unknown) => {
    // Not a POSIX guest, or one that runs no programs for us: then the agent itself says what it can.
    if (isAgentError(error, 'GUEST_AGENT_REFUSED')) return undefined
    throw error
  })
  if (result === undefined) return
  if (result.timedOut || result.exitCode !== 0) throw failed(`cannot read ${quote(path)}`, result)
  const [mode = '', size = ''] = result.stdout.trim().split(' ')
  if ((Number.parseInt(mode, 16) & TYPE_BITS) !== REGULAR) throw refused(`${quote(path)} is not a regular file`)
  if (Number(size) > MAX_GUEST_FILE_BYTES) {
    throw refused(`${quote(path)} has ${size} bytes; at most ${MAX_GUEST_FILE_BYTES} are read`)
  }
}

/** What `stat -c '%f %s %Y %U %G %n'` printed for entries of `root`; `cut`: the last line may be a part of one. */
export function parseListing(text: string, root: string, cut: boolean): GuestFile[] {
  const entries: GuestFile[] = []
  const lines = text.split('\n').slice(0, -1)
  for (const line of lines) {
    const [whole, mode = '', size = '', time = '', owner = '', group = ''] = LINE.exec(line) ?? []
    const last = entries.at(-1)
    if (whole === undefined || !line.startsWith(root, whole.length)) {
      // A line feed in a name.
      if (last !== undefined) entries[entries.length - 1] = renamed(last, `${last.name}\n${line}`, root)
      continue
    }
    const name = line.slice(whole.length + root.length)
    const bits = Number.parseInt(mode, 16)
    entries.push({
      name,
      path: root + name,
      isDirectory: (bits & TYPE_BITS) === DIRECTORY,
      isSymlink: (bits & TYPE_BITS) === LINK,
      sizeBytes: Number(size),
      mode: bits,
      ...(Math.abs(Number(time)) > MAX_UNIX_SECONDS ? {} : { modifiedAt: Number(time) * 1000 }),
      owner,
      group,
    })
  }
  if (cut) entries.pop()
  return entries.sort((a, b) => (a.name < b.name ? -1 : 1))
}

const LINE = /^([0-9a-f]{1,8}) (\d{1,15}) (-?\d{1,15}) (\S+) (\S+) /
/** The last one that a Date can be. */
const MAX_UNIX_SECONDS = 8_640_000_000_000

function renamed(entry: GuestFile, name: string, root: string): GuestFile {
  return { ...entry, name, path: root + name }
}

function failed(what: string, { timedOut, stderr }: GuestCommandResult): AgentError {
  return refused(`${what}: ${timedOut ? 'the guest did not finish in time' : stderr.trim().slice(0, 300)}`)
}

function refused(why: string): AgentError {
  return new AgentError('GUEST_AGENT_REFUSED', `in the guest: ${why}`, { details: { cause: 'error' } })
}
