import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { domainXml } from '../../../../src/domains/domain-xml.ts'
import type { MigrationParts } from '../../../../src/domains/migration/build-offer.ts'
import { makeRoom } from '../../../../src/domains/migration/make-room.ts'
import type { MigrationOffer } from '../../../../src/domains/migration/messages.ts'
import { definition } from '../definitions.ts'
import { context } from './fake-calls.ts'

test('what only snapshots may use is nothing that the VM itself may use', async () => {
  const stateDir = await mkdtemp(path.join(tmpdir(), 'lqx-room-'))
  onTestFinished(() => rm(stateDir, { recursive: true }))
  const xml = domainXml(definition())
  const offer = {
    vmId: '6f1cbbd2-1c9f-4a3c-9a0e-0a9c64f7f001',
    name: 'web',
    liveXml: xml,
    configXml: xml,
    snapshots: [],
    directory: '/var/lib/limiquantix/vms/x',
  } as unknown as MigrationOffer
  const judgement = {
    problems: [],
    present: new Map([['vda', [{ type: 'file', path: '/pools/p1/now.qcow2', format: 'qcow2' }] as const]]),
    copy: [],
    media: new Set(['/pools/p1/iso/a.iso']),
    snapshotPlaces: ['/pools/p1/then.qcow2'],
  } as const
  const parts = { deps: { config: { stateDir } } } as unknown as MigrationParts
  const { limits, snapshotLimits } = await makeRoom(offer, [], judgement, parts, context())
  expect([...limits.places]).toEqual(['/pools/p1/iso/a.iso', '/pools/p1/now.qcow2'])
  expect([...snapshotLimits.places]).toEqual([...limits.places, '/pools/p1/then.qcow2'])
})
