import { execFile } from 'node:child_process'
import { mkdtemp, open, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import type { TestProject } from 'vitest/node'
import { CEPH_HOST } from './ceph.ts'

const run = promisify(execFile)
const PREFIX = 'lqx-ceph-'
const OWNER_FILE = 'owner'

declare module 'vitest' {
  interface ProvidedContext {
    /** Directory for the Ceph cluster of this run, which the first test that needs it brings up (ceph.ts). */
    readonly cephDir: string
  }
}

/**
 * Prepares a place for one Ceph cluster of the whole host tier. It ends with this process, however that ends: by the open pipe in it. A cluster named in
 * LIMIQUANTIX_TEST_CEPH_DIR is used and left running.
 */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const given = process.env['LIMIQUANTIX_TEST_CEPH_DIR']
  if (given !== undefined) {
    project.provide('cephDir', given)
    return async () => {}
  }
  await removeOrphans()
  const directory = await mkdtemp(path.join(tmpdir(), PREFIX))
  await writeFile(path.join(directory, OWNER_FILE), `${process.pid}`)
  await run('mkfifo', [path.join(directory, 'lifeline')])
  const lifeline = await open(path.join(directory, 'lifeline'), 'r+')
  project.provide('cephDir', directory)
  return async () => {
    await remove(directory)
    await lifeline.close()
  }
}

async function remove(directory: string): Promise<void> {
  // Nothing was started without the rights for it.
  if (process.getuid?.() === 0) await run(CEPH_HOST, ['down', directory], { timeout: 60_000 })
  await rm(directory, { recursive: true, force: true })
}

/** Removes what test runs left that were killed before their teardown (their clusters have ended). */
async function removeOrphans(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    if (!name.startsWith(PREFIX)) continue
    const directory = path.join(tmpdir(), name)
    const owner = await readFile(path.join(directory, OWNER_FILE), 'utf8').catch(() => undefined)
    // Without the file it is being made by somebody else right now.
    if (owner === undefined || isAlive(Number(owner))) continue
    await remove(directory)
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
