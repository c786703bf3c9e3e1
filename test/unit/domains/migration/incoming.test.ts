import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { expect, onTestFinished, test } from 'vitest'
import { VIR_ERR } from '../../../../src/libvirt/constants.ts'
import type { MigrationParts } from '../../../../src/domains/migration/build-offer.ts'
import { IncomingMigrations } from '../../../../src/domains/migration/incoming.ts'
import type { OperationManager } from '../../../../src/operations/manager.ts'
import type { OperationHandler } from '../../../../src/operations/operation.ts'
import { context, fakeCalls, libvirtError, noDomain } from './fake-calls.ts'

const VM = '6f1cbbd2-1c9f-4a3c-9a0e-0a9c64f7f001'

test.each([
  ['that was to run here', false],
  ['that is off, and that libvirt does not take', true],
])('of a VM %s and did not come, the record keeps no passwords', async (_, off) => {
  const stateDir = await mkdtemp(`${tmpdir()}/lqx-incoming-`)
  onTestFinished(() => rm(stateDir, { recursive: true }))
  const { client } = fakeCalls({
    DOMAIN_LOOKUP_BY_UUID: noDomain,
    DOMAIN_DEFINE_XML_FLAGS: () => {
      throw libvirtError(VIR_ERR.XML_ERROR)
    },
  })
  let handler: OperationHandler<unknown, unknown, unknown> | undefined
  const ready = { ...client, ready: () => Promise.resolve() }
  new IncomingMigrations({
    parts: { client: ready, deps: { libvirt: client, config: { stateDir } } } as unknown as MigrationParts,
    operations: { register: (made: typeof handler) => (handler = made) } as unknown as OperationManager,
    inventory: { arriving: () => () => Promise.resolve() },
    address: () => Promise.resolve('127.0.0.1'),
    acceptUnannounced: true,
    log: context().log,
  })
  const snapshots = [{ name: 's', xml: '<domainsnapshot>secret</domainsnapshot>', current: true }]
  const journal = { phase: 'finishing', configXml: '<domain>secret</domain>', snapshots }
  const saved: unknown[] = []
  const save = (next: unknown) => {
    saved.push(next)
    return Promise.resolve()
  }
  const params = { vmId: VM, name: 'web', paused: false, off, volumes: [] }
  const ctx = { ...context(), id: '1', journal, progress: () => undefined, save }
  await expect(handler?.run(params, ctx)).rejects.toMatchObject({
    reason: off ? 'MIGRATION_FAILED' : 'ABORTED_BY_RESTART',
  })
  expect(saved).toEqual([{ phase: 'gone', configXml: '' }])
})
