import { mkdir } from 'node:fs/promises'
import { beforeEach, describe } from 'vitest'
import { FileLeases } from '../../../src/storage/file-leases.ts'
import { describeLeasePlace } from '../../conformance/lease-place.ts'
import { startAgent, tempDirectory } from './fixture.ts'

describe('leases in the files of a pool', () => {
  let path: string
  beforeEach(async () => {
    path = `${await tempDirectory()}/shared`
    await mkdir(path)
  })

  describeLeasePlace(async () => {
    const { pools, environment, ctx } = await startAgent(await tempDirectory())
    await pools.init({ poolId: 'pool-1', kind: 'LOCAL_DIR', options: { path } }, ctx)
    return new FileLeases(environment.io, await pools.require('pool-1', ctx))
  })
})
