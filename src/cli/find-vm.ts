import { isUuid } from '../core/ids.ts'
import type { AgentClient } from './agent-client.ts'

/**
 * The part of a path that stands for the VM which somebody calls `given`, by id or by name: names are what people have at hand. An id is taken as it is, so that it works for a VM that is gone, and without libvirt; what is neither is left for the
 * agent to judge. Errors: those of the agent.
 */
export async function findVm(given: string, agent: AgentClient): Promise<string> {
  if (isUuid(given)) return given
  const { vms } = (await agent.call('GET', '/api/v1/vms')) as {
    vms: readonly { readonly vmId: string; readonly name: string }[]
  }
  return vms.find(({ name }) => name === given)?.vmId ?? encodeURIComponent(given)
}
