import { execFile } from 'node:child_process'
import { readFile, readlink } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const script = fileURLToPath(new URL('../../../scripts/libvirt-host', import.meta.url))

/** SIGKILL to the private libvirtd; guests go on. */
export async function killLibvirtd(directory: string): Promise<void> {
  await run(script, ['kill', directory], { timeout: 60_000 })
}

/** Starts the private libvirtd again and waits until it answers. */
export async function startLibvirtd(directory: string): Promise<void> {
  await run(script, ['start', directory], { timeout: 60_000 })
}

/** SIGSTOP to the private libvirtd: what is sent to it from now on is not answered. */
export async function stopLibvirtd(directory: string): Promise<void> {
  const [init = ''] = (await readFile(path.join(directory, '.init'), 'utf8')).split(' ')
  const namespace = await readlink(`/proc/${init}/ns/mnt`)
  const { stdout } = await run('pgrep', ['-x', 'libvirtd'])
  for (const pid of stdout.trim().split('\n')) {
    if ((await readlink(`/proc/${pid}/ns/mnt`)) === namespace) process.kill(Number(pid), 'SIGSTOP')
  }
}
