import { silentLogger } from '../../../src/core/context.ts'
import { DomainInventory } from '../../../src/domains/inventory.ts'
import { EventLog } from '../../../src/events/event-log.ts'
import { LibvirtClient } from '../../../src/libvirt/client.ts'
import { printTable } from '../measure.ts'
import { cpuMs, type DomainSection } from './section.ts'

const BURST = 100_000

/** Events from libvirt's test driver through the inventory to a reader, as fast as domains can be paused and resumed; and the log of events alone. */
export const events: DomainSection = {
  name: 'events',
  async run({ socket, rounds }) {
    const log = silentLogger
    const client = new LibvirtClient({ uri: 'test:///default', socketPath: socket, log })
    const other = new LibvirtClient({ uri: 'test:///default', socketPath: socket, log })
    const kept = new EventLog(log)
    const inventory = new DomainInventory(client, log, kept)
    await inventory.start()
    await Promise.all([client, other].map((one) => one.ready(AbortSignal.timeout(30_000))))
    const end = new AbortController()
    let seen = 0
    const reading = (async () => {
      for await (const _ of inventory.events(end.signal)) seen++
    })()
    const { dom } = await other.call('remote:DOMAIN_LOOKUP_BY_NAME', { name: 'test' })
    const toggles = rounds * 20
    const started = performance.now()
    const cpu = await cpuMs(async () => {
      for (let i = 0; i < toggles; i++) {
        await other.call('remote:DOMAIN_SUSPEND', { dom })
        await other.call('remote:DOMAIN_RESUME', { dom })
      }
      while (seen < toggles * 2 && performance.now() - started < 120_000) await new Promise(setImmediate)
    })
    const seconds = (performance.now() - started) / 1000
    const through = seen
    end.abort()
    await reading
    inventory.stop()
    await Promise.all([client.close(), other.close()])

    const alone = new EventLog(log)
    const own = await cpuMs(async () => {
      for (let i = 0; i < BURST; i++) {
        alone.publish({ type: 'IO_ERROR', vmId: '11111111-1111-4111-8111-111111111111', message: 'x', metadata: {} })
      }
    })
    printTable(
      'events',
      ['', 'events/s', 'CPU us/event', 'lost'],
      [
        [
          'libvirt to a reader, one change after the other',
          (through / seconds).toFixed(0),
          ((cpu * 1000) / through).toFixed(0),
          String(toggles * 2 - through),
        ],
        [
          'numbered and kept in memory alone',
          (BURST / (own / 1000)).toFixed(0),
          ((own * 1000) / BURST).toFixed(2),
          '0',
        ],
      ],
    )
  },
}
