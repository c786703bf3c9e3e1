import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { arch, tmpdir } from 'node:os'
import path from 'node:path'
import type { Socket } from 'node:net'
import type { TestProject } from 'vitest/node'
import { missingRoot, requirePrerequisite } from '../host/require.ts'

const SCRIPT = path.join(import.meta.dirname, '..', '..', 'scripts', 'rig')
const PREFIX = 'lqx-rig-'
const OWNER_FILE = 'owner'

declare module 'vitest' {
  interface ProvidedContext {
    /** Directory of the rig, with the agent installed on host 0; undefined when there is none. */
    readonly rigDir: string | undefined
    /** Why there is none. */
    readonly rigMissing: string
  }
}

/**
 * Brings one rig up for the whole tier and installs the agent of this checkout on it. A rig named in LIMIQUANTIX_TEST_RIG_DIR is used and left
 * running (only the agent is installed anew), which saves its start during work on one test.
 */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  project.provide('rigMissing', '')
  const given = process.env['LIMIQUANTIX_TEST_RIG_DIR']
  if (given !== undefined) {
    await script(['install', given])
    project.provide('rigDir', given)
    return async () => {}
  }
  const missing = await requirePrerequisite('rig', missingForRig)
  if (missing !== undefined) {
    project.provide('rigMissing', missing)
    project.provide('rigDir', undefined)
    return async () => {}
  }
  await removeOrphans()
  const directory = await mkdtemp(path.join(tmpdir(), PREFIX))
  await writeFile(path.join(directory, OWNER_FILE), `${process.pid}`)
  const teardown = async (): Promise<void> => {
    await script(['down', directory])
    await rm(directory, { recursive: true, force: true })
  }
  try {
    await script(['up', directory, '--lifeline', '3'])
    await script(['install', directory])
  } catch (error) {
    await teardown()
    throw error
  }
  project.provide('rigDir', directory)
  return teardown
}

async function missingForRig(): Promise<string | undefined> {
  if (missingRoot() !== undefined) return missingRoot()
  if (arch() !== 'x64') return `the rig is an x86-64 machine, this is ${arch()}`
  return access('/dev/net/tun').then(
    () => undefined,
    () => 'there is no /dev/net/tun',
  )
}

// The script's messages are this run's; it says itself what went wrong.
async function script(args: readonly string[]): Promise<void> {
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
    await script(['down', directory])
    await rm(directory, { recursive: true, force: true })
  }
}

function isAlive(pid: string): Promise<boolean> {
  return access(`/proc/${pid}`).then(
    () => true,
    () => false,
  )
}
