import { expect } from 'vitest'
import type { PowerState } from '../../../src/core/model.ts'
import { INCOMING_KIND } from '../../../src/domains/migration/incoming.ts'
import { OUTGOING_KIND } from '../../../src/domains/migration/outgoing.ts'
import { vmFiles, within } from './agent-fixture.ts'
import { stateOn, type MigrationHost, type MigrationHostOptions } from './migration-host.ts'
import type { MigrationPair } from './migration-pair.ts'

type Side = 'a' | 'b'
type FilesBefore = Readonly<Record<Side, string[]>>
/** How the agents of the hosts are opened. */
export type SideOptions = Readonly<Partial<Record<Side, Partial<MigrationHostOptions>>>>

/** A VM on host a, as `make` makes it, with agents that were opened anew, and what files there were before it. */
export async function beginMigration(pair: MigrationPair, make: () => Promise<string>, options: SideOptions) {
  await pair.close('a')
  await pair.close('b')
  const [a, b] = [await pair.host('a', options.a), await pair.host('b', options.b)]
  const before = { a: await vmFiles(a), b: await vmFiles(b) }
  return { a, b, before, vmId: await make() }
}

/** Expects, once all that goes on with it has ended, that the VM is on one host in that state and whole, and that the other one has nothing of it; then it is deleted. */
export async function expectOnlyOn(
  pair: MigrationPair,
  { vmId, where, state, before }: { vmId: string; where: Side; state: PowerState; before: FilesBefore },
  expectWhole: (host: MigrationHost) => Promise<void>,
): Promise<void> {
  const host = { a: await pair.host('a'), b: await pair.host('b') }
  const other = where === 'a' ? 'b' : 'a'
  for (const { operations } of Object.values(host)) {
    for (const { id, kind, subject } of operations.list()) {
      if (subject === `vm ${vmId}` && [OUTGOING_KIND, INCOMING_KIND, 'vm.cleanup'].includes(kind))
        await operations.wait(id, within(90))
    }
  }
  const states = { a: await stateOn(host.a, vmId), b: await stateOn(host.b, vmId) }
  expect(states).toEqual({ [where]: state, [other]: 'absent' })
  expect(await vmFiles(host[other])).toEqual(before[other])
  await expectWhole(host[where])
  await host[where].vms.delete(vmId, within())
  expect(await vmFiles(host[where])).toEqual(before[where])
  expect(await pair.sharedVolumes()).toEqual([])
}
