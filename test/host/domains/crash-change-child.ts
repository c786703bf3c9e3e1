// A process that changes a VM and is killed at a given point. Arguments: base, libvirt directory, action, point, VM id, then as JSON the disk, the name of a snapshot or the move of a disk.
import { flushCompileCache } from 'node:module'
import { setTimeout as pause } from 'node:timers/promises'
import type { DiskSpec } from '../../../src/core/model.ts'
import { openAgent, POOL, within } from './agent-fixture.ts'

// It is killed: the next one would have to compile everything again.
flushCompileCache()

const [base = '', libvirtDir = '', action, point, vmId = '', json = ''] = process.argv.slice(2)
const dieAt = (name: string) => {
  if (name === point) process.kill(process.pid, 'SIGKILL')
}
const agent = await openAgent(base, libvirtDir, {
  afterStep: dieAt,
  aroundCall: async (name, call) => {
    dieAt(`before ${name}`)
    const begun = call()
    // libvirtd has it by then, and goes on with it.
    if (point === `in ${name}`) await pause(30)
    dieAt(`in ${name}`)
    const answer = await begun
    dieAt(`after ${name}`)
    return answer
  },
})
const disk = () => JSON.parse(json) as DiskSpec
const name = () => JSON.parse(json) as string
const request = () => ({ name: name(), description: '', includeMemory: true })
const actions: Record<string, () => Promise<unknown>> = {
  attach: () => agent.devices.attachDisk(vmId, disk(), within()),
  detach: () => agent.devices.detachDisk(vmId, disk().id, within()),
  snapshot: () => agent.snapshots.create(vmId, request(), within()),
  layer: () => agent.snapshots.create(vmId, { ...request(), includeMemory: false }, within()),
  quiesce: () => agent.snapshots.create(vmId, { ...request(), includeMemory: false, quiesce: true }, within()),
  revert: () => agent.snapshots.revert(vmId, name(), within()),
  backup: async () => {
    const { id } = await agent.backups.create({ vmId, name: name(), poolId: POOL, mode: 'incremental' }, within())
    await agent.operations.result(id, within())
  },
  restore: async () => {
    const { id } = await agent.backups.restore({ vmId, name: name(), poolId: POOL, prefix: 'killed' }, within())
    await agent.operations.result(id, within())
  },
  'delete-backup': () => agent.backups.delete(vmId, name(), within()),
  export: async () => {
    const request = { vmId, name: name(), poolId: '', mode: 'incremental', since: '', lifetimeMs: 600_000 } as const
    await agent.exports.open(request, within())
    await agent.exports.end(vmId, name(), true, within())
  },
  move: async () => {
    const move = JSON.parse(json) as { diskId: string; poolId: string }
    const { id } = await agent.mover.move({ vmId, ...move, bytesPerSecond: 0, dropCheckpoints: false }, within())
    await agent.operations.result(id, within())
  },
  forget: () => agent.snapshots.delete(vmId, name(), within()),
}
await actions[action ?? '']?.()
throw new Error(`${action} went on to its end, past ${point}`)
