import { execFile } from 'node:child_process'
import { appendFile, chmod, mkdtemp, readFile, readlink, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
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
    // Those of other tests come and go.
    const its = await readlink(`/proc/${pid}/ns/mnt`).catch(() => undefined)
    if (its === namespace) process.kill(Number(pid), 'SIGSTOP')
  }
}

/** Another private libvirtd, as of another host, in a new directory. */
export async function upLibvirtd(): Promise<string> {
  const directory = await mkdtemp(path.join(tmpdir(), 'lqx-libvirt-'))
  await writeFile(path.join(directory, '.owner'), String(process.pid))
  await chmod(directory, 0o711)
  await run(script, ['up', directory, '--domain-type', 'qemu'], { timeout: 60_000 })
  return directory
}

/** Has it run QEMU with all rights of root, from now on. */
export async function giveQemuAllRights(directory: string): Promise<void> {
  await configureQemu(directory, 'user = "root"\ngroup = "root"\nclear_emulator_capabilities = 0\n')
}

/** Has it go by more lines of qemu.conf, from now on. */
export async function configureQemu(directory: string, lines: string): Promise<void> {
  await appendFile(path.join(directory, 'etc/qemu.conf'), lines)
  await killLibvirtd(directory)
  await startLibvirtd(directory)
}

/** Takes it down, guests and all. */
export async function downLibvirtd(directory: string): Promise<void> {
  await run(script, ['down', directory], { timeout: 60_000 })
  await rm(directory, { recursive: true, force: true })
}
