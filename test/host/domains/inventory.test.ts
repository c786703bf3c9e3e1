import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { DomainInventory } from '../../../src/domains/inventory.ts'
import type { LibvirtClient } from '../../../src/libvirt/client.ts'
import { liveClient } from '../libvirt/live.ts'
import { missingLibvirt } from '../require.ts'

describe.skipIf(missingLibvirt() !== undefined)('the inventory on test:///default of a real libvirtd', () => {
  let client: LibvirtClient
  let inventory: DomainInventory
  beforeAll(async () => {
    client = await liveClient('test:///default')
    inventory = new DomainInventory(client, silentLogger)
  })
  afterAll(async () => {
    inventory.stop()
    await client.close()
  })

  test('a foreign domain whose XML cannot be understood is listed by its name, beside all others', async () => {
    const xml = `<domain type='test'><name>odd</name><memory>8192</memory><os><type>hvm</type></os>
      <metadata><n:note xmlns:n='urn:note'><![CDATA[<!DOCTYPE html>]]></n:note></metadata></domain>`
    await client.call('remote:DOMAIN_DEFINE_XML_FLAGS', { xml, flags: 0 })
    await inventory.start()
    const known = Object.fromEntries(
      inventory.entries().map(({ facts, state, readable }) => [facts.name, { state, readable }]),
    )
    expect(known).toMatchObject({
      odd: { state: 'STOPPED', readable: false },
      test: { state: 'RUNNING', readable: true },
    })
  })
})
