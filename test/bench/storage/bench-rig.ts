import { execFile } from 'node:child_process'
import { access } from 'node:fs/promises'
import { arch } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { rigAt, type Rig } from '../../rig/rig.ts'

const exec = promisify(execFile)
const SCRIPT = path.join(import.meta.dirname, '..', '..', '..', 'scripts', 'rig')

/** Why no rig can be up here, or undefined. */
export async function missingBenchRig(): Promise<string | undefined> {
  if (arch() !== 'x64') return `the rig is an x86-64 machine, this is ${arch()}`
  return access('/dev/net/tun').then(
    () => undefined,
    () => 'there is no /dev/net/tun, which the rig needs',
  )
}

/** A rig with the agent of this checkout: the one that is up in LIMIQUANTIX_TEST_RIG_DIR, or one below `directory` that goes with `cleanup`. */
export async function benchRig(directory: string, cleanup: AsyncDisposableStack): Promise<Rig> {
  const given = process.env['LIMIQUANTIX_TEST_RIG_DIR']
  const place = given ?? path.join(directory, 'rig')
  if (given === undefined) {
    cleanup.defer(async () => void (await exec(SCRIPT, ['down', place])))
    await exec(SCRIPT, ['up', place])
  }
  await exec(SCRIPT, ['install', place])
  return rigAt(place)
}
