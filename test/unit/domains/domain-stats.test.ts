import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { DomainStats } from '../../../src/domains/domain-stats.ts'
import type { LibvirtCalls } from '../../../src/domains/libvirt-domain.ts'
import { readStatsRecord } from '../../../src/domains/stats-record.ts'
import { vmCounters } from '../../../src/domains/usage.ts'
import { VIR_DOMAIN_STATS } from '../../../src/libvirt/constants.ts'
import { typedParam } from '../../../src/libvirt/typed-params.ts'
import { uuidBytes } from '../../../src/libvirt/uuid.ts'
import type { RemoteTypedParam } from '../../../src/libvirt/wire/remote-types.gen.ts'

const A = '11111111-1111-4111-8111-111111111111'
const B = '22222222-2222-4222-8222-222222222222'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

interface Question {
  readonly stats: number
  readonly doms: readonly { readonly uuid: Uint8Array }[]
  answer(domains: Readonly<Record<string, readonly RemoteTypedParam[]>>, runs?: Readonly<Record<string, number>>): void
  fail(error: Error): void
}

/** libvirt whose answers come when the test gives them. */
class SlowLibvirt {
  readonly asked: Question[] = []
  readonly calls: LibvirtCalls = {
    call: (_name: string, { stats, doms }: Pick<Question, 'stats' | 'doms'>) => {
      const { promise, resolve, reject } = Promise.withResolvers<unknown>()
      const answer: Question['answer'] = (domains, runs = {}) =>
        resolve({
          retStats: Object.entries(domains).map(([vmId, params]) => ({
            dom: { name: '', uuid: uuidBytes(vmId), id: runs[vmId] ?? 1 },
            params,
          })),
        })
      this.asked.push({ stats, doms, answer, fail: reject })
      return promise as never
    },
  } as LibvirtCalls

  /** The only question since the last one that was looked at. */
  next(): Question {
    const question = this.asked.shift()
    if (question === undefined || this.asked.length > 0) throw new Error(`${this.asked.length} questions more`)
    return question
  }
}

const cpu = (ns: number) => typedParam.ullong('cpu.time', BigInt(ns))
const disk = (bytes: number) => [
  typedParam.uint('block.count', 1),
  typedParam.string('block.0.name', 'vda'),
  typedParam.ullong('block.0.rd.bytes', BigInt(bytes)),
]
const DEVICES = VIR_DOMAIN_STATS.BALLOON | VIR_DOMAIN_STATS.BLOCK
const tick = (ms: number) => vi.advanceTimersByTimeAsync(ms)

test('one question serves everybody who asks, and two seconds', async () => {
  const libvirt = new SlowLibvirt()
  const stats = new DomainStats(libvirt.calls)
  const first = [stats.read(), stats.read()]
  libvirt.next().answer({ [A]: [cpu(0), ...disk(7)] })
  for (const read of first) expect((await read).get(A)).toMatchObject({ cpuTimeNs: 0, disks: [{ readBytes: 7 }] })
  await tick(1_900)
  await stats.read()
  expect(libvirt.asked).toEqual([])
  await tick(100)
  const second = stats.read()
  libvirt.next().answer({ [A]: [cpu(1e9), ...disk(8)] })
  // One of two seconds.
  expect((await second).get(A)?.busyCpus).toBeCloseTo(0.5)
})

describe('a guest that does not answer', () => {
  async function withLateQuestion() {
    const libvirt = new SlowLibvirt()
    const stats = new DomainStats(libvirt.calls)
    const before = stats.read()
    libvirt.next().answer({ [A]: [cpu(0), ...disk(7)], [B]: [cpu(0), ...disk(7)] })
    const then = (await before).get(A)?.observedAt
    await tick(2_000)
    const read = stats.read()
    const late = libvirt.next()
    await tick(700)
    const quick = libvirt.next()
    quick.answer({ [A]: [cpu(5)], [B]: [cpu(6)] })
    await tick(0)
    const devices = libvirt.next()
    // libvirt leaves out the one whose QEMU is being asked.
    devices.answer({ [A]: [], [B]: disk(9) })
    return { libvirt, stats, then, late, quick, devices, samples: await read }
  }

  test('costs the others nothing: what needs no QEMU is asked again for all, the rest for those that answer', async () => {
    const { then, quick, devices, samples } = await withLateQuestion()
    expect(quick.stats & DEVICES).toBe(0)
    expect(devices).toMatchObject({ stats: DEVICES, doms: { length: 2 } })
    expect(samples.get(A)).toMatchObject({ cpuTimeNs: 5, disks: [{ readBytes: 7 }], devicesObservedAt: then })
    expect(samples.get(A)?.observedAt).toBeGreaterThan(then ?? 0)
    expect(samples.get(B)).toMatchObject({ cpuTimeNs: 6, disks: [{ readBytes: 9 }] })
    expect(samples.get(B)?.devicesObservedAt).toBeGreaterThan(then ?? 0)
  })

  test('is one question for all when it answers again; its late answer counts as of the time it was asked', async () => {
    const { libvirt, stats, late, then, samples } = await withLateQuestion()
    late.answer({ [A]: [cpu(1), ...disk(8)], [B]: [cpu(1), ...disk(8)] })
    await tick(0)
    const known = await stats.read()
    expect(known.get(A)).toMatchObject({
      cpuTimeNs: 5,
      disks: [{ readBytes: 8 }],
      devicesObservedAt: (then ?? 0) + 2_000,
    })
    // Newer by the second question.
    expect(known.get(B)).toEqual(samples.get(B))
    await tick(2_000)
    const read = stats.read()
    const question = libvirt.next()
    expect(question.stats & DEVICES).toBe(DEVICES)
    question.answer({ [A]: [cpu(7), ...disk(11)] })
    expect((await read).get(A)).toMatchObject({ cpuTimeNs: 7, disks: [{ readBytes: 11 }] })
  })

  test('has its numbers told as they were asked when every answer is late, as with many VMs; those of another run are not', async () => {
    const libvirt = new SlowLibvirt()
    const stats = new DomainStats(libvirt.calls)
    const asked = Date.now()
    const read = stats.read()
    const late = libvirt.next()
    await tick(700)
    libvirt.next().answer({ [A]: [cpu(5)], [B]: [cpu(6)] })
    await tick(300)
    expect((await read).get(A)).toMatchObject({ disks: [], devicesObservedAt: 0 })
    late.answer({ [A]: [cpu(1), ...disk(7)], [B]: [cpu(1), ...disk(7)] }, { [B]: 2 })
    await tick(0)
    const known = await stats.read()
    expect(known.get(A)).toMatchObject({ cpuTimeNs: 5, disks: [{ readBytes: 7 }], devicesObservedAt: asked })
    expect(known.get(B)).toMatchObject({ cpuTimeNs: 6, disks: [], devicesObservedAt: 0 })
  })

  test('three late questions are the most there can be', async () => {
    const { libvirt, stats } = await withLateQuestion()
    for (const more of [true, true, false]) {
      await tick(2_000)
      const read = stats.read()
      libvirt.next().answer({ [A]: [cpu(9)] })
      await tick(0)
      if (more) expect(libvirt.next().stats).toBe(DEVICES)
      await tick(1_000)
      expect((await read).get(A)).toMatchObject({ cpuTimeNs: 9 })
    }
    expect(libvirt.asked).toEqual([])
    expect(stats.lateQuestions).toBe(3)
  })
})

test('a VM on storage that does not answer is not asked about its disks in the first place', async () => {
  const libvirt = new SlowLibvirt()
  const stats = new DomainStats(libvirt.calls)
  stats.stalled = () => new Set([A])
  const read = stats.read()
  const quick = libvirt.next()
  expect(quick.stats & DEVICES).toBe(0)
  quick.answer({ [A]: [cpu(5)], [B]: [cpu(6)] })
  await tick(0)
  const devices = libvirt.next()
  expect(devices.doms.map(({ uuid }) => uuid)).toEqual([uuidBytes(B)])
  devices.answer({ [B]: disk(9) })
  expect((await read).get(A)).toMatchObject({ cpuTimeNs: 5, disks: [], devicesObservedAt: 0 })
})

test('a failure in time is told, a late one harms nobody', async () => {
  const libvirt = new SlowLibvirt()
  const stats = new DomainStats(libvirt.calls)
  const refused = expect(stats.read()).rejects.toThrow('away')
  libvirt.next().fail(new Error('away'))
  await refused
  const patient = stats.read()
  const late = libvirt.next()
  await tick(1_000)
  expect([...(await patient)]).toEqual([])
  late.fail(new Error('too late'))
  libvirt.next().fail(new Error('too late'))
  await tick(0)
})

test('what libvirt tells of a domain is found under the ids of its own devices', () => {
  const record = readStatsRecord([
    cpu(4e9),
    typedParam.ullong('balloon.current', 1024n),
    typedParam.ullong('balloon.rss', 512n),
    typedParam.uint('net.count', 2),
    // The first NIC has no tap, and so no entry.
    typedParam.string('net.1.name', 'vnet3'),
    typedParam.ullong('net.1.rx.bytes', 70n),
    typedParam.ullong('net.1.tx.drop', 71n),
    typedParam.uint('block.count', 2),
    typedParam.string('block.0.name', 'vda'),
    typedParam.ullong('block.0.wr.bytes', 80n),
    typedParam.ullong('block.0.rd.bytes', 81n),
    typedParam.ullong('block.0.physical', 2n ** 60n),
    typedParam.string('block.1.name', 'sda'),
    typedParam.string('something.new.in.libvirt', 'x'),
  ])
  const sample = { ...record, busyCpus: 1, observedAt: 5, devicesObservedAt: 5, disks: record.disks ?? [] }
  const nic = { macAddress: '', model: '', network: '', linkUp: true, bandwidthMbps: 0 }
  const facts = {
    vmId: A,
    name: 'a',
    managed: true,
    specDigest: '',
    cpuCount: 2,
    memoryBytes: 0,
    labels: {},
    disks: [{ id: 'root', targetDev: 'vda', poolId: 'pool-1' }],
    cdroms: [{ id: 'cd', path: '', targetDev: 'sda', role: 'user' }],
    nics: [
      { id: 'first', ...nic },
      { id: 'second', ...nic },
    ],
    paths: [],
  } as unknown as Parameters<typeof vmCounters>[1]
  expect(vmCounters(sample, facts)).toMatchObject({
    usage: { cpuUsagePercent: 50, cpuTimeNs: 4e9, memoryUsedBytes: 512 * 1024, networkRxBytes: 70, diskWriteBytes: 80 },
    disks: [
      { id: 'root', device: 'vda', poolId: 'pool-1', readBytes: 81, physicalBytes: 2 ** 60 },
      { id: 'cd', device: 'sda', poolId: '', readBytes: 0 },
    ],
    nics: [{ id: 'second', device: 'vnet3', rxBytes: 70, txDropped: 71 }],
  })
})
