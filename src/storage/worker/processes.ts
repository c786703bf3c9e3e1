import { readdir, readFile, readlink } from 'node:fs/promises'

/** Processes with open files or their working directory below `root`, as `name (pid n)`; read from /proc alone, without touching the pool. `except`: pids to leave out. */
export async function processesUsing(params: { root: string; except: readonly number[] }): Promise<string[]> {
  const found: string[] = []
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    if (params.except.includes(Number(pid)) || Number(pid) === process.pid) continue
    if (await holdsFileBelow(pid, params.root)) found.push(`process ${await processName(pid)} (pid ${pid})`)
  }
  return found
}

async function holdsFileBelow(pid: string, root: string): Promise<boolean> {
  const prefix = `${root}/`
  // Processes end while we look at them.
  const files = (await readdir(`/proc/${pid}/fd`).catch(() => [])).map((fd) => `fd/${fd}`)
  for (const link of ['cwd', 'root', ...files]) {
    const target = await readlink(`/proc/${pid}/${link}`).catch(() => '')
    if (target === root || target.startsWith(prefix)) return true
  }
  return false
}

async function processName(pid: string): Promise<string> {
  return (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => 'unknown')).trim()
}
