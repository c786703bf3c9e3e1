import { expect, test } from 'vitest'
import { AgentError } from '../../../src/core/errors.ts'
import type { DomainDeps } from '../../../src/domains/deps.ts'
import type { LeasedVm } from '../../../src/domains/vm-lease.ts'
import { deleteOwnVolumes } from '../../../src/domains/vm-remains.ts'
import { context } from './migration/fake-calls.ts'

const VM = '6f1cbbd2-1c9f-4a3c-9a0e-0a9c64f7f001'
const VOLUMES = [
  { poolId: 'shared', name: 'top' },
  { poolId: 'shared', name: 'base' },
  { poolId: 'shared', name: 'gone' },
  { poolId: 'own', name: 'data' },
  { poolId: 'away', name: 'more' },
]

/** Deletes the volumes of a VM, of which another host writes to the files that `written` names; what was asked and what is gone. */
async function deleteWith(written: readonly string[]) {
  const asked: string[][] = []
  const deleted: string[] = []
  const backend = {
    getVolume: (name: string) =>
      Promise.resolve(name === 'gone' ? undefined : { source: { type: 'file', path: `/${name}`, format: 'qcow2' } }),
    deleteVolume: (name: string) => Promise.resolve(deleted.push(name)),
  }
  const pools = {
    require: (poolId: string) =>
      poolId === 'away'
        ? Promise.reject(new AgentError('POOL_UNAVAILABLE', 'pool away does not answer'))
        : Promise.resolve({ config: { poolId }, backend }),
  }
  const leases = {
    isLeased: ({ config }: { config: { poolId: string } }) => config.poolId === 'shared',
    refuseElsewhere: ({ disks }: LeasedVm) => {
      asked.push(disks.map(({ place }) => place))
      if (!disks.some(({ id }) => written.includes(id))) return Promise.resolve()
      return Promise.reject(new AgentError('VM_RUNS_ELSEWHERE', 'host b has it'))
    },
  }
  const deps = { pools, leases } as unknown as DomainDeps
  const error: unknown = await deleteOwnVolumes(deps, VOLUMES, VM, context()).catch((thrown: unknown) => thrown)
  return { asked, deleted, error }
}

test('while another host writes to one of the files of a VM, it keeps all that it may see', async () => {
  const { asked, deleted, error } = await deleteWith(['top'])
  expect(asked).toEqual([['/top', '/base']])
  expect(deleted).toEqual(['data'])
  expect(error).toMatchObject({ reason: 'VM_RUNS_ELSEWHERE' })
})

test('a pool that does not answer keeps no other one waiting', async () => {
  const { deleted, error } = await deleteWith([])
  expect(deleted).toEqual(['top', 'base', 'gone', 'data'])
  expect(error).toMatchObject({ reason: 'POOL_UNAVAILABLE' })
})
