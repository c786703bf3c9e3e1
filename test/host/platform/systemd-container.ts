import { execFile, spawn } from 'node:child_process'
import { glob, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { until } from '../../support/until.ts'

const exec = promisify(execFile)

/** A container of this machine's own files, with systemd as PID 1; what is written in it is in memory. */
export interface SystemdContainer extends AsyncDisposable {
  /** Runs a command in all namespaces of the container; its stdout. */
  run(file: string, ...args: string[]): Promise<string>
}

/** Boots the container with systemd-nspawn, in seconds; `visible` are directories that it sees as they are. */
export async function startSystemdContainer(visible: readonly string[]): Promise<SystemdContainer> {
  const directory = await mkdtemp('/run/lqx-systemd-')
  const at = (name: string) => path.join(directory, name)
  await exec('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'none', directory])
  for (const name of ['upper', 'work', 'root']) await mkdir(at(name))
  await exec('mount', [
    ...['-t', 'overlay', 'overlay', '-o', `lowerdir=/,upperdir=${at('upper')},workdir=${at('work')}`],
    at('root'),
  ])
  // Nothing of this machine is to be started there.
  await rm(at('root/etc/machine-id'), { force: true })
  for await (const wants of glob(at('root/etc/systemd/system/*.wants'))) await rm(wants, { recursive: true })
  const nspawn = spawn(
    'systemd-nspawn',
    [
      ...['--quiet', '--register=no', '--keep-unit', '--private-network', '--directory', at('root')],
      ...visible.map((each) => `--bind=${each}`),
      ...['--boot', 'systemd.unit=basic.target'],
    ],
    { stdio: 'ignore' },
  )
  const run = async (file: string, ...args: string[]) => {
    const pid = await firstChild(nspawn.pid)
    return (await exec('nsenter', ['--target', pid, '--all', '--', file, ...args])).stdout
  }
  const stop = async () => {
    // Everything in the container ends with its first process, and systemd-nspawn then.
    await firstChild(nspawn.pid).then(
      (pid) => process.kill(Number(pid), 'SIGKILL'),
      () => nspawn.kill('SIGKILL'),
    )
    await until(async () => nspawn.exitCode !== null || nspawn.signalCode !== null)
    await exec('umount', ['--lazy', at('root')])
    await exec('umount', ['--lazy', directory])
    await rm(directory, { recursive: true })
  }
  try {
    await until(async () => (await run('systemctl', 'is-active', 'basic.target').catch(() => '')).startsWith('active'))
  } catch (error) {
    await stop()
    throw error
  }
  return { run, [Symbol.asyncDispose]: stop }
}

async function firstChild(pid: number | undefined): Promise<string> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')
  const [child] = children.split(' ')
  if (child === undefined || child === '') throw new Error('the container has no PID 1 yet')
  return child
}
