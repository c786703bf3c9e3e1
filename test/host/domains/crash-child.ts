// A process that creates or deletes a VM and is killed at a given point. Arguments: base, libvirt directory, `create`|`delete`, point, request as JSON.
import { flushCompileCache } from 'node:module'
import type { CreateVmRequest } from '../../../src/core/model.ts'
import { openAgent, within } from './agent-fixture.ts'

// It is killed: the next one would have to compile everything again.
flushCompileCache()

const [base = '', libvirtDir = '', action, point, json = ''] = process.argv.slice(2)
const request = JSON.parse(json) as CreateVmRequest
const dieAt = (name: string) => {
  if (name === point) process.kill(process.pid, 'SIGKILL')
}
const agent = await openAgent(base, libvirtDir, {
  afterStep: dieAt,
  aroundCall: async (name, call) => {
    dieAt(`before ${name}`)
    const answer = await call()
    dieAt(`after ${name}`)
    return answer
  },
})
if (action === 'create') await agent.vms.create(request, within())
else await agent.vms.delete(request.vmId, within())
throw new Error(`${action} went on to its end, past ${point}`)
