import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import { until } from '../../support/until.ts'
import { within } from './agent-fixture.ts'
import { makeBootImage } from './boot-sector.ts'
import { migrate, migrationTo, SHARED, type MigrationHost } from './migration-host.ts'
import { MigrationPair } from './migration-pair.ts'

const missing = await requirePrerequisite('libvirt', missingLibvirt)

describe.skipIf(missing !== undefined)('the console log of a VM that moves', () => {
  let pair: MigrationPair
  beforeAll(async () => {
    pair = await MigrationPair.up(inject('libvirtDir') ?? '')
    await makeBootImage(path.join(pair.shared, 'images/boot.qcow2'), 'counts')
  }, 120_000)
  afterAll(() => pair.down())

  const numbers = async ({ base }: MigrationHost, vmId: string) => {
    const log = await readFile(path.join(base, 'state/vms', vmId, 'console.log'), 'utf8')
    return (log.match(/^\d{5}(?=\r)/gm) ?? []).map(Number)
  }
  const reaches = (host: MigrationHost, vmId: string, wanted: number) =>
    until(async () => ((await numbers(host, vmId)).at(-1) ?? 0) >= wanted)

  test('has all that its guest printed, before, during and after, once and in order', async () => {
    const { a, b } = { a: await pair.host('a'), b: await pair.host('b') }
    const vmId = await pair.running('a', SHARED)
    let [here, there] = [a, b]
    let last = 20
    for (let move = 0; move < 2; move++) {
      await reaches(here, vmId, last)
      // Slow, so that it prints on the way.
      await migrate(here, migrationTo(there, vmId, { options: { bandwidthMibps: 1 } }))
      ;[here, there] = [there, here]
      last = ((await numbers(here, vmId)).at(-1) ?? 0) + 20
      await reaches(here, vmId, last)
    }
    const printed = await numbers(here, vmId)
    expect(printed).toEqual(printed.map((_, index) => index + 1))
    await here.vms.delete(vmId, within())
  })
})
