import { randomUUID } from 'node:crypto'
import { mkdir, readdir, rename, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { mayPass } from '../../../src/domains/cleanup.ts'
import { VmLeases } from '../../../src/domains/vm-leases.ts'
import { GuestLeases } from '../../../src/storage/guest-leases.ts'
import { startAgent, tempDirectory, type Agent } from '../storage/fixture.ts'

const POOL = 'pool-1'

/** A pool that hosts `a` and `b` have, with the disk of a VM that is off. */
async function world() {
  const base = await tempDirectory()
  const root = `${base}/shared`
  await mkdir(root)
  const place = `${root}/root.raw`
  const vm = { vmId: randomUUID(), disks: [{ id: 'root', place, format: 'raw', readonly: false }] }
  const leasesOf = ({ pools, environment }: Agent, agentId: string) => {
    const unused = {} as never
    const rest = { inventory: unused, libvirt: unused, locks: unused, log: environment.log }
    const leases = new GuestLeases(environment.io)
    return new VmLeases({ pools, leases, agentId, host: agentId, isShared: () => true, ...rest })
  }
  const agent = await startAgent(base)
  const config = { poolId: POOL, kind: 'LOCAL_DIR', options: { path: root } } as const
  await agent.pools.init(config, agent.ctx)
  await writeFile(place, Buffer.alloc(512))
  const files = () => readdir(`${root}/.limiquantix/leases`)
  return { base, root, config, vm, agent, files, leasesOf, a: leasesOf(agent, 'a'), b: leasesOf(agent, 'b') }
}

test('what nobody has is kept, and given back', async () => {
  const { agent, vm, a, files } = await world()
  await a.keepFree(vm, agent.ctx)
  await a.keepFree(vm, agent.ctx)
  expect(await files()).toEqual([`.${vm.vmId}.lqx-lease-1`])
  await a.handOver(vm, agent.ctx)
  expect(await files()).toEqual([])
})

test('the lease of another host stays with it, even while nothing is written', async () => {
  const { agent, vm, a, b, files } = await world()
  await b.claim(vm, { takeOver: false }, agent.ctx)
  await a.keepFree(vm, agent.ctx)
  await a.handOver(vm, agent.ctx)
  expect(await files()).toEqual([`.${vm.vmId}.lqx-lease-1`])
  await b.handOver(vm, agent.ctx)
  expect(await files()).toEqual([])
})

test('a lease in a pool that is known and not in use is in the way of a VM that has left, and of nothing else', async () => {
  const { base, root, config, vm, agent, a, leasesOf, files } = await world()
  await a.claim(vm, { takeOver: false }, agent.ctx)
  agent.pools.stop()
  await rename(root, `${root}.away`)
  const { pools, ...rest } = await startAgent(base)
  await pools.observedOnce(rest.ctx.signal)
  expect(pools.active()).toEqual([])
  const again = leasesOf({ pools, ...rest }, 'a')
  for (const work of [again.keepFree(vm, rest.ctx), again.handOver(vm, rest.ctx)]) {
    const error: unknown = await work.catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ reason: 'POOL_UNAVAILABLE', message: expect.stringContaining(POOL) })
    expect(mayPass(error)).toBe(true)
  }
  // A start, and a delete of a VM whose storage is gone for good.
  await again.claim(vm, { takeOver: false }, rest.ctx)
  await again.forget(vm, rest.ctx)
  await rename(`${root}.away`, root)
  await pools.init(config, rest.ctx)
  expect(await files()).toEqual([`.${vm.vmId}.lqx-lease-1`])
  await again.handOver(vm, rest.ctx)
  expect(await files()).toEqual([])
  await rename(root, `${root}.away`)
  await pools.destroy(POOL, rest.ctx)
  await again.handOver(vm, rest.ctx)
})
