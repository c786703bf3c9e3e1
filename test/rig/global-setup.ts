import type { TestProject } from 'vitest/node'
import { requirePrerequisite } from '../host/require.ts'
import { downRig, missingForRig, runRig, upRig } from './run-rig.ts'

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
    await runRig('install', given)
    project.provide('rigDir', given)
    return async () => {}
  }
  const missing = await requirePrerequisite('rig', missingForRig)
  if (missing !== undefined) {
    project.provide('rigMissing', missing)
    project.provide('rigDir', undefined)
    return async () => {}
  }
  const directory = await upRig(1)
  try {
    await runRig('install', directory)
  } catch (error) {
    await downRig(directory)
    throw error
  }
  project.provide('rigDir', directory)
  return () => downRig(directory)
}
