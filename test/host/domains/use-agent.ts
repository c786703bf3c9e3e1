import { afterAll, beforeAll, inject } from 'vitest'
import { endAgent, makeBase, openAgent, removeBase, type AgentParts, type OpenOptions } from './agent-fixture.ts'

/**
 * The VM side of an agent for all tests of a `describe`, on the libvirt of this run and a directory of its own: opened before them; after them every VM is deleted, and nothing is left. What is answered can be used in hooks and tests.
 */
export function useAgent(options: OpenOptions = {}): AgentParts {
  let base: string | undefined
  let agent: AgentParts | undefined
  beforeAll(async () => {
    base = await makeBase()
    agent = await openAgent(base, inject('libvirtDir') ?? '', options)
  })
  afterAll(async () => {
    if (agent !== undefined) await endAgent(agent)
    if (base !== undefined) await removeBase(base)
  })
  return new Proxy({} as AgentParts, {
    get(_, name) {
      if (agent === undefined) throw new Error(`the agent is not open yet: ${String(name)}`)
      return Reflect.get(agent, name) as unknown
    },
  })
}
