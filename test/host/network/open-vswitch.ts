import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { until } from '../../support/until.ts'

const exec = promisify(execFile)
const SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema'
/** Where libvirtd and the agent look. */
const RUN_DIRECTORY = '/run/openvswitch'

/** Runs ovs-vsctl; what it printed. A switch whose database was away comes back to it up to 8 s after it is there. */
export async function vsctl(...words: readonly string[]): Promise<string> {
  return (await exec('ovs-vsctl', ['--timeout=60', ...words])).stdout.trim()
}

/** An Open vSwitch of the test, in user space: it needs no module of the kernel. */
export interface TestSwitch {
  /** Ends the database, as a crash would. */
  killDatabase(): Promise<void>
  startDatabase(): Promise<void>
  close(): Promise<void>
}

/** Starts one at the place where all look for it; throws when another one serves there. */
export async function startOpenVswitch(): Promise<TestSwitch> {
  if (await answers()) throw new Error('an Open vSwitch runs on this machine; stop it to run this test')
  const directory = await mkdtemp(path.join(tmpdir(), 'lqx-ovs-'))
  await mkdir(RUN_DIRECTORY, { recursive: true })
  const database = path.join(directory, 'conf.db')
  await exec('ovsdb-tool', ['create', database, SCHEMA])
  const start = (file: string, ...args: string[]): ChildProcess =>
    spawn(file, [...args, `--unixctl=${directory}/${file}.ctl`, `--log-file=${directory}/${file}.log`], {
      stdio: 'ignore',
    })
  const end = async (child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill(signal)
    await exited
  }
  let server: ChildProcess | undefined
  const startDatabase = async (): Promise<void> => {
    await rm(`${RUN_DIRECTORY}/db.sock`, { force: true })
    server = start('ovsdb-server', database, `--remote=punix:${RUN_DIRECTORY}/db.sock`)
    await until(answers)
  }
  await startDatabase()
  await vsctl('--no-wait', 'init')
  const switching = start('ovs-vswitchd', `unix:${RUN_DIRECTORY}/db.sock`)
  return {
    killDatabase: () => end(server, 'SIGKILL'),
    startDatabase,
    async close() {
      await end(switching, 'SIGTERM')
      await end(server, 'SIGTERM')
      await rm(`${RUN_DIRECTORY}/db.sock`, { force: true })
      await rm(directory, { recursive: true, force: true })
    },
  }
}

async function answers(): Promise<boolean> {
  return exec('ovs-vsctl', ['--no-wait', '--timeout=2', 'show']).then(
    () => true,
    () => false,
  )
}
