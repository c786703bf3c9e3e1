import { afterAll, beforeAll, inject } from 'vitest'
import type { NodeClient } from '../control-plane/node-client.ts'
import { rigAt, type Rig } from './rig.ts'

/** The rig of this run with an open gRPC client, for the tests of one file. */
export interface RigForTests extends Rig {
  /** Valid inside tests and hooks. */
  readonly node: NodeClient
}

/** Why there is no rig, or undefined: `describe.skipIf(await requirePrerequisite('rig', missingRig))`. */
export function missingRig(): string | undefined {
  return inject('rigDir') === undefined ? inject('rigMissing') : undefined
}

/** The rig of the global setup. Registers hooks: servers are healed before and after the tests of the file, the client is closed. */
export function useRig(): RigForTests {
  const rig = rigAt(inject('rigDir') ?? '')
  let node: NodeClient | undefined
  beforeAll(async () => {
    await rig.heal()
    node = rig.connect()
  })
  afterAll(async () => {
    node?.close()
    await rig.heal()
  })
  return {
    ...rig,
    get node() {
      if (node === undefined) throw new Error('the client is open only inside tests and hooks')
      return node
    },
  }
}
