import { appendFile, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { silentLogger, type Logger } from '../../../src/core/context.ts'
import type { EventDraft, NodeEvent } from '../../../src/core/events.ts'
import { EventFile } from '../../../src/events/event-file.ts'
import { EventLog } from '../../../src/events/event-log.ts'
import { EventPace } from '../../../src/events/event-pace.ts'

const VM = '11111111-1111-4111-8111-111111111111'
const draft = (message: string, part: Partial<EventDraft> = {}): EventDraft => ({
  type: 'VM_STARTED',
  vmId: VM,
  message,
  metadata: { name: 'web' },
  ...part,
})
const messages = (events: readonly NodeEvent[]) => events.map(({ message }) => message)

async function take(events: AsyncIterable<NodeEvent>, count: number): Promise<NodeEvent[]> {
  const seen: NodeEvent[] = []
  for await (const event of events) if (seen.push(event) === count) break
  return seen
}

describe('readers', () => {
  test('get what comes after they asked, in order, until their signal fires', async () => {
    const log = new EventLog(silentLogger)
    const end = new AbortController()
    log.publish(draft('before'))
    const events = log.read(end.signal)
    log.publish(draft('one'))
    const seen: string[] = []
    for await (const { message } of events) {
      seen.push(message)
      if (message === 'one') queueMicrotask(() => log.publish(draft('two')))
      if (message === 'two') end.abort()
    }
    expect(seen).toEqual(['one', 'two'])
  })

  test('that come back go on after the number they name', async () => {
    const log = new EventLog(silentLogger)
    const ids = ['a', 'b', 'c'].map((text) => log.publish(draft(text)).id)
    const signal = AbortSignal.timeout(10_000)
    expect(messages(await take(log.read(signal, Number(ids[0])), 2))).toEqual(['b', 'c'])
    // A number that this host never gave out: it has lost its state, so nothing can be left out.
    expect(messages(await take(log.read(signal, 99), 3))).toEqual(['a', 'b', 'c'])
  })

  test('that fall too far behind miss the oldest and see it by the numbers; nobody waits for them', async () => {
    const log = new EventLog(silentLogger)
    const events = log.read(AbortSignal.timeout(10_000))
    for (let i = 1; i <= 20_000; i++) log.publish(draft(String(i)))
    const [first] = await take(events, 1)
    expect(Number(first?.id)).toBeGreaterThan(13_000)
    expect(Number(first?.id)).toBeLessThanOrEqual(15_001)
  })
})

test('a list has the newest that are wanted, or the first after a number', () => {
  const log = new EventLog(silentLogger)
  log.publish(draft('started'))
  log.publish(draft('failed', { type: 'IO_ERROR' }))
  log.publish(draft('other', { vmId: '' }))
  expect(messages(log.list({}, 2))).toEqual(['failed', 'other'])
  expect(messages(log.list({}, 1, 1))).toEqual(['failed'])
  expect(messages(log.list({}, 0))).toEqual([])
  expect(messages(log.list({ level: 'warning' }, 9))).toEqual(['failed'])
  expect(messages(log.list({ vmId: VM }, 9))).toEqual(['started', 'failed'])
  expect(messages(log.list({ category: 'storage' }, 9))).toEqual(['failed'])
})

describe('over restarts', () => {
  let directory: string
  beforeEach(async () => {
    directory = path.join(await mkdtemp(path.join(tmpdir(), 'lqx-events-')), 'events')
  })
  afterEach(() => rm(path.dirname(directory), { recursive: true }))
  const open = async (log: Logger = silentLogger) => {
    const events = new EventLog(log, new EventFile(directory))
    await events.load()
    return events
  }
  const file = () => path.join(directory, 'events.jsonl')

  test('events stay, and numbers go on increasing', async () => {
    const first = await open()
    first.publish(draft('a "quoted"\nline'))
    await first.flush()
    const second = await open()
    const next = second.publish(draft('b'))
    expect(messages(second.list({}, 9))).toEqual(['a "quoted"\nline', 'b'])
    expect(Number(next.id)).toBeGreaterThan(1)
    expect((await stat(file())).mode & 0o777).toBe(0o600)
    await second.flush()
  })

  test('a line that a crash has cut costs itself only, and so does one that somebody has spoilt', async () => {
    const first = await open()
    first.publish(draft('a'))
    first.publish(draft('b'))
    await first.flush()
    const text = await readFile(file(), 'utf8')
    await writeFile(file(), `{"id":"7"}\nnonsense\n${text}`)
    await appendFile(file(), '{"id":"9","timest')
    const second = await open()
    second.publish(draft('c'))
    await second.flush()
    expect(messages((await open()).list({}, 9))).toEqual(['a', 'b', 'c'])
  })

  test('no number is used twice when nothing could be written down meanwhile', async () => {
    await open()
    const second = await open()
    // As on a full disk: there is no way to write here.
    await mkdir(file())
    const told = second.publish(draft('told'))
    await second.flush()
    await rm(file(), { recursive: true })
    const next = (await open()).publish(draft('next'))
    expect(Number(next.id)).toBeGreaterThan(Number(told.id))
  })

  test('numbers go on when the events of before cannot be read, and are in order whatever the file has', async () => {
    const first = await open()
    const last = first.publish(draft('b'))
    await first.flush()
    const earlier = JSON.stringify({ ...last, id: '0', message: 'a' })
    await appendFile(file(), `${earlier}\n`)
    const sorted = await open()
    expect(messages(sorted.list({}, 9))).toEqual(['a', 'b'])
    const older = path.join(directory, 'events.1.jsonl')
    await mkdir(older)
    const blind = await open()
    expect(blind.list({}, 9)).toEqual([])
    expect(Number(blind.publish(draft('c')).id)).toBeGreaterThan(Number(last.id))
    await blind.flush()
    await rm(older, { recursive: true })
    expect(messages((await open()).list({}, 9))).toEqual(['a', 'b', 'c'])
  })

  test('numbers are reserved in time, however many events there are', async () => {
    const events = await open()
    let last = 0
    for (let bunch = 0; bunch < 8; bunch++) {
      for (let i = 0; i < 4000; i++) last = Number(events.publish(draft('x')).id)
      await events.flush()
    }
    await rm(file())
    await rm(path.join(directory, 'events.1.jsonl'))
    expect(Number((await open()).publish(draft('next')).id)).toBeGreaterThan(last)
  })

  test('half a line that a full disk has left costs itself only', async () => {
    const events = await open()
    await mkdir(file())
    events.publish(draft('lost'))
    await events.flush()
    await rm(file(), { recursive: true })
    await writeFile(file(), '{"id":"9","timest')
    events.publish(draft('after'))
    await events.flush()
    expect(messages((await open()).list({}, 9))).toEqual(['after'])
  })

  test('the file is bounded, and what is in the older one is known too', async () => {
    const events = await open()
    const long = 'x'.repeat(1000)
    for (let i = 0; i < 3000; i++) {
      events.publish(draft(`${i} ${long}`))
      if (i % 100 === 0) await events.flush()
    }
    await events.flush()
    expect((await stat(file())).size).toBeLessThan(2.5 * 1024 * 1024)
    const again = await open()
    expect(again.list({}, 5000).length).toBeGreaterThan(2000)
    expect(again.list({}, 1)[0]?.message).toMatch(/^2999 /)
  })

  test('a file that cannot be written is said once, and events go on', async () => {
    const warned: string[] = []
    const log: Logger = { ...silentLogger, warn: (_, text = '') => void warned.push(text), child: () => log }
    const events = await open(log)
    await rm(directory, { recursive: true })
    for (const text of ['a', 'b']) {
      events.publish(draft(text))
      await events.flush()
    }
    expect(messages(events.list({}, 9))).toEqual(['a', 'b'])
    expect(warned).toEqual(['events cannot be written down; they go on in memory'])
  })
})

test('what repeats itself passes at a limited pace, and tells how many were held back', () => {
  let now = 0
  const pace = new EventPace(2, 1000, () => now)
  const passed = (key: string) => pace.pass(key)
  expect([passed('a'), passed('a'), passed('a'), passed('a')]).toEqual([0, 0, undefined, undefined])
  expect(passed('b')).toBe(0)
  now = 1000
  expect([passed('a'), passed('a')]).toEqual([2, undefined])
})
