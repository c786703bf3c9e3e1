import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { arch, tmpdir } from 'node:os'
import path from 'node:path'
import { missingRoot } from '../host/require.ts'

const SCRIPT = path.join(import.meta.dirname, '..', '..', 'scripts', 'rig')
const PREFIX = 'lqx-rig-'
const OWNER_FILE = 'owner'

/** Why this machine cannot have a rig, or undefined. */
export async function missingForRig(): Promise<string | undefined> {
  if (missingRoot() !== undefined) return missingRoot()
  if (arch() !== 'x64') return `the rig is an x86-64 machine, this is ${arch()}`
  return access('/dev/net/tun').then(
    () => undefined,
    () => 'there is no /dev/net/tun',
  )
}

/** Brings up a rig of `hosts` hosts that ends with this process, however that ends. Resolves to its directory; what killed test runs left is removed before. */
export async function upRig(hosts: number): Promise<string> {
  await removeOrphans()
  const directory = await mkdtemp(path.join(tmpdir(), PREFIX))
  await writeFile(path.join(directory, OWNER_FILE), `${process.pid}`)
  try {
    await runRig('up', directory, '--hosts', `${hosts}`, '--lifeline', '3')
  } catch (error) {
    await downRig(directory)
    throw error
  }
  return directory
}

/** Ends a rig and removes its directory. */
export async function downRig(directory: string): Promise<void> {
  await runRig('down', directory)
  await rm(directory, { recursive: true, force: true })
}

/** Runs `scripts/rig`; its messages are this run's, it says itself what went wrong. */
export async function runRig(...args: readonly string[]): Promise<void> {
  const child = spawn(SCRIPT, args, { stdio: ['ignore', 'ignore', 'inherit', 'pipe'] })
  // The lifeline: nothing is ever sent, the kernel closes it when this process ends. It must not keep it from ending.
  ;(child.stdio[3] as Socket).unref()
  const [code] = (await once(child, 'exit')) as [number | null]
  if (code !== 0) throw new Error(`scripts/rig ${args.join(' ')} failed with ${code}; its messages are above`)
}

/** Removes what test runs left that were killed before their teardown (their rigs have ended by the lifeline). */
async function removeOrphans(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    if (!name.startsWith(PREFIX)) continue
    const directory = path.join(tmpdir(), name)
    const owner = await readFile(path.join(directory, OWNER_FILE), 'utf8').catch(() => undefined)
    // Without the file it is being made by somebody else right now.
    if (owner === undefined || (await isAlive(owner))) continue
    await downRig(directory)
  }
}

function isAlive(pid: string): Promise<boolean> {
  return access(`/proc/${pid}`).then(
    () => true,
    () => false,
  )
}
