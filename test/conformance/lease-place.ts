import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { silentLogger } from '../../src/core/context.ts'
import type { GuestLease, GuestLeaseFacts, LeasePlace } from '../../src/storage/guest-lease.ts'

/** What every place for leases on guests has to do. `placeOf` gives the place as one of several hosts has it. */
export function describeLeasePlace(placeOf: () => Promise<LeasePlace>): void {
  const ctx = () => ({ signal: AbortSignal.timeout(100_000), log: silentLogger })
  const facts = (holder: string, phase: GuestLeaseFacts['phase'] = 'running'): GuestLeaseFacts => {
    return { holder, host: `${holder}.example.org`, since: '2026-01-01T00:00:00.000Z', phase }
  }

  test('a lease is what was taken, until it is given back', async () => {
    const place = await placeOf()
    const guest = randomUUID()
    expect(await place.read(guest, ctx())).toBeUndefined()
    const lease = await place.take(guest, undefined, facts('a'), ctx())
    expect(lease).toMatchObject({ facts: facts('a') })
    expect(await place.read(guest, ctx())).toEqual(lease)
    expect(await place.read(randomUUID(), ctx())).toBeUndefined()
    if (lease !== undefined) await place.release(guest, lease, ctx())
    expect(await place.read(guest, ctx())).toBeUndefined()
  })

  test('of all who take a lease after the same one, or after none, one gets it', async () => {
    const guest = randomUUID()
    const hosts = await Promise.all(['a', 'b', 'c'].map(async (holder) => ({ holder, place: await placeOf() })))
    const [first] = hosts
    let before: GuestLease | undefined
    for (let round = 0; round < 3; round++) {
      const leases = await Promise.all(
        hosts.map(({ holder, place }) => place.take(guest, before, facts(`${holder}${round}`), ctx())),
      )
      const [lease, ...more] = leases.filter((one) => one !== undefined)
      expect(more).toEqual([])
      expect(lease).toBeDefined()
      expect(await first?.place.read(guest, ctx())).toEqual(lease)
      before = lease
    }
  })

  test('who was taken over from changes nothing any more', async () => {
    const place = await placeOf()
    const guest = randomUUID()
    const old = await place.take(guest, undefined, facts('a'), ctx())
    if (old === undefined) throw new Error('no lease')
    const present = await place.take(guest, old, facts('b', 'claimed'), ctx())
    expect(await place.write(guest, old, facts('a', 'saved'), ctx())).toBeUndefined()
    expect(await place.take(guest, old, facts('a'), ctx())).toBeUndefined()
    await place.release(guest, old, ctx())
    expect(await place.read(guest, ctx())).toEqual(present)
  })

  test('a lease says something else when its holder writes', async () => {
    const place = await placeOf()
    const guest = randomUUID()
    const lease = await place.take(guest, undefined, facts('a'), ctx())
    if (lease === undefined) throw new Error('no lease')
    const written = await place.write(guest, lease, facts('a', 'saved'), ctx())
    expect(written).toMatchObject({ facts: facts('a', 'saved') })
    expect(await place.read(guest, ctx())).toEqual(written)
  })
}
