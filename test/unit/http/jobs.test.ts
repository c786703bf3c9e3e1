import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { JobEvent } from '../../../src/core/model.ts'
import { eventStream } from '../../../src/http/event-stream.ts'
import { anyJob } from '../grpc/fake-services.ts'
import { startHttpRig } from './client.ts'

const EVENTS = '/api/v1/jobs/job-1/events'

/** Events of a text/event-stream as a browser reads them. */
function parse(text: string): { id: string; event: string; data: { state: string } }[] {
  return text
    .split('\n\n')
    .filter((block) => block.startsWith('id:'))
    .map((block) => {
      const field = (name: string) =>
        block
          .split('\n')
          .find((line) => line.startsWith(`${name}: `))
          ?.slice(name.length + 2)
      return { id: field('id') ?? '', event: field('event') ?? '', data: JSON.parse(field('data') ?? '{}') as never }
    })
}

test('the events of a job are a text/event-stream that ends with the last state', async () => {
  await using rig = await startHttpRig()
  const answer = await rig.fetch('GET', EVENTS)
  expect(answer).toMatchObject({ status: 200, type: 'text/event-stream' })
  expect(answer.text).toMatch(/^retry: \d+\n\n/)
  expect(parse(answer.text)).toMatchObject([
    { id: 'e.1', event: 'progress', data: { state: 'running', progressPercent: 41, error: null } },
    { id: 'end', event: 'end', data: { state: 'completed', progressPercent: 100 } },
  ])
})

test('a caller that comes back gets what it has not had, and 204 after the end', async () => {
  await using rig = await startHttpRig()
  const again = await rig.fetch('GET', EVENTS, undefined, { 'last-event-id': 'e.1' })
  expect(parse(again.text).map(({ id }) => id)).toEqual(['end'])
  expect(await rig.fetch('GET', EVENTS, undefined, { 'last-event-id': 'end' })).toMatchObject({ status: 204, text: '' })
  expect(await rig.fetch('GET', '/api/v1/jobs/nobody/events')).toMatchObject({
    status: 404,
    json: { error: 'job_not_found' },
  })
})

test('filters go to the service; an unknown state is refused', async () => {
  await using rig = await startHttpRig()
  const url = '/api/v1/jobs?kind=image.download&state=failed&resource=pool-1&limit=1'
  expect(await rig.fetch('GET', url)).toMatchObject({ status: 200, json: { total: 1 } })
  expect(rig.services.calls.at(-1)).toEqual({
    method: 'listJobs',
    args: [{ kind: 'image.download', state: 'failed', resource: 'pool-1' }],
  })
  expect(await rig.fetch('GET', '/api/v1/jobs?state=odd')).toMatchObject({ status: 400 })
})

test('a stream is told when nothing happens, and asks for nothing before it is read', async () => {
  let taken = 0
  const go = Promise.withResolvers<void>()
  async function* events() {
    taken++
    yield { id: '1', event: 'progress', data: 1 }
    await go.promise
    taken++
    yield { id: '2', event: 'end', data: 2 }
  }
  const stream = eventStream(events(), new AbortController().signal, 20)
  expect((await stream.next()).value).toMatch(/^retry/)
  expect((await stream.next()).value).toMatch(/^id: 1/)
  expect((await stream.next()).value).toBe(': keep-alive\n\n')
  expect(taken).toBe(1)
  go.resolve()
  let piece = await stream.next()
  while (piece.value?.startsWith(':')) piece = await stream.next()
  expect(piece.value).toBe('id: 2\nevent: end\ndata: 2\n\n')
  expect((await stream.next()).done).toBe(true)
})

test('a server that closes ends open streams at once', async () => {
  let left = false
  async function* watch(_jobId: string, _after: string, signal: AbortSignal): AsyncGenerator<JobEvent> {
    try {
      yield { id: 'e.1', job: anyJob }
      await pause(60_000, undefined, { signal })
    } finally {
      left = true
    }
  }
  const rig = await startHttpRig({ jobs: { watch } })
  const response = await fetch(`${rig.server.address}${EVENTS}`)
  const reader = response.body?.getReader()
  await reader?.read()
  const startedAt = performance.now()
  await rig.server.close(30_000)
  expect(performance.now() - startedAt).toBeLessThan(5_000)
  expect(left).toBe(true)
})
