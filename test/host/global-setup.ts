import { execFile } from 'node:child_process'
import { access, chmod, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { TestProject } from 'vitest/node'
import { missingCommand, missingRoot, requirePrerequisite } from './require.ts'

const run = promisify(execFile)
const libvirtHost = fileURLToPath(new URL('../../scripts/libvirt-host', import.meta.url))

const PREFIX = 'lqx-libvirt-'
const OWNER_FILE = '.owner'

declare module 'vitest' {
  interface ProvidedContext {
    /** Directory of the private libvirt (its socket is `run/libvirt-sock` below it), or undefined when there is none. */
    readonly libvirtDir: string | undefined
  }
}

/**
 * Starts one private libvirt for the whole host tier and names its directory in LIMIQUANTIX_TEST_LIBVIRT_DIR.
 * A directory given in that variable is used as it is and left running; without root or libvirt the tests skip with the reason.
 */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const given = process.env['LIMIQUANTIX_TEST_LIBVIRT_DIR']
  if (given !== undefined) {
    project.provide('libvirtDir', given)
    return async () => {}
  }
  const reason = await requirePrerequisite(
    'libvirt',
    async () => missingRoot() ?? (await missingCommand('libvirtd', 'virtlogd', 'virsh', 'qemu-system-x86_64')()),
  )
  if (reason !== undefined) {
    process.env['LIMIQUANTIX_TEST_LIBVIRT_MISSING'] = reason
    project.provide('libvirtDir', undefined)
    return async () => {}
  }
  await removeOrphans()
  const directory = await mkdtemp(join(tmpdir(), PREFIX))
  await writeFile(join(directory, OWNER_FILE), String(process.pid))
  // QEMU runs as libvirt-qemu and has to reach the sockets in here.
  await chmod(directory, 0o711)
  const teardown = async (): Promise<void> => {
    await run(libvirtHost, ['down', directory], { timeout: 60_000 })
    await rm(directory, { recursive: true, force: true })
  }
  try {
    // Emulation on every host: the same tests then mean the same thing everywhere.
    await run(libvirtHost, ['up', directory, '--domain-type', 'qemu'], { timeout: 60_000 })
  } catch (error) {
    await teardown()
    throw error
  }
  process.env['LIMIQUANTIX_TEST_LIBVIRT_DIR'] = directory
  project.provide('libvirtDir', directory)
  return teardown
}

/** Takes down the instances of test runs that were killed before their teardown. */
async function removeOrphans(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    if (!name.startsWith(PREFIX)) continue
    const directory = join(tmpdir(), name)
    const owner = await readFile(join(directory, OWNER_FILE), 'utf8').catch(() => undefined)
    // Without the file it is being made by somebody else right now.
    if (owner === undefined || (await isAlive(owner))) continue
    await run(libvirtHost, ['down', directory], { timeout: 60_000 })
    await rm(directory, { recursive: true, force: true })
  }
}

function isAlive(pid: string): Promise<boolean> {
  return access(`/proc/${pid}`).then(
    () => true,
    () => false,
  )
}
