import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { open, readFile } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { run } from '../../src/platform/exec.ts'
import { missingCommand, missingRoot } from './require.ts'

/** The script that makes clusters. */
export const CEPH_HOST = fileURLToPath(new URL('../../scripts/ceph-host', import.meta.url))

export type CephDaemon = 'mon' | 'mgr' | 'osd' | 'mds'

/** A real one-node Ceph on the loopback interface (scripts/ceph-host). */
export interface CephCluster {
  /** Of the monitor, ports 3300 and 6789. */
  readonly address: string
  /** Keyring file of a user of scripts/lib/ceph/users.list. */
  keyring(user: string): string
  /** The key in it, base64. */
  key(user: string): Promise<string>
  /** ceph, rbd or rados as client.admin; stdout. */
  admin(tool: 'ceph' | 'rbd' | 'rados', ...args: string[]): Promise<string>
  /** Commands of scripts/ceph-host on some daemons. */
  control(verb: 'start' | 'stop' | 'kill' | 'freeze' | 'thaw', ...daemons: CephDaemon[]): Promise<void>
}

/** Why there is no Ceph for tests, or undefined: `describe.skipIf(await requirePrerequisite('ceph', missingCeph))`. */
export async function missingCeph(): Promise<string | undefined> {
  return missingRoot() ?? (await missingCommand('ceph-mon', 'ceph-mgr', 'ceph-osd', 'ceph-mds', 'rbd')())
}

/** The cluster of this run, brought up if it is not; all daemons run then. `directory`: inject('cephDir'). */
export async function startCeph(directory: string): Promise<CephCluster> {
  // For reading only: the cluster ends when nobody is left who could write.
  const lifeline = await open(path.join(directory, 'lifeline'), 'r').catch(() => undefined)
  try {
    const options = lifeline === undefined ? [] : ['--lifeline', '3']
    await script(['up', directory, ...options], lifeline?.fd)
  } finally {
    await lifeline?.close()
  }
  const keyring = (user: string) => path.join(directory, `client.${user}.keyring`)
  return {
    address: (await readFile(path.join(directory, '.address'), 'utf8')).trim(),
    keyring,
    async key(user) {
      return /key = (\S+)/.exec(await readFile(keyring(user), 'utf8'))?.[1] ?? ''
    },
    async admin(tool, ...args) {
      const words = ['--conf', path.join(directory, 'ceph.conf'), '--name', 'client.admin', ...args]
      return (await run({ file: tool, args: words, timeoutMs: 60_000 })).stdout
    },
    control: (verb, ...daemons) => script([verb, directory, ...daemons]),
  }
}

async function script(args: readonly string[], lifeline?: number): Promise<void> {
  const child = spawn(CEPH_HOST, args, { stdio: ['ignore', 'ignore', 'inherit', lifeline ?? 'ignore'] })
  const [code] = (await once(child, 'exit')) as [number | null]
  if (code !== 0) throw new Error(`scripts/ceph-host ${args.join(' ')} failed with ${code}; its messages are above`)
}
