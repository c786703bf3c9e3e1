import { expect, test } from 'vitest'
import { AgentError } from '../../../src/core/errors.ts'
import { memoryTrail } from '../audit/memory-trail.ts'
import { VM_ID } from '../grpc/fake-services.ts'
import { startHttpRig } from './client.ts'

// Routes that give something away, though they are read with GET.
const TOLD_READS = ['GET /api/v1/vms/:id/console', 'GET /api/v1/vms/:id/console/ws']

// A sign of life of another agent, every few seconds.
const UNTOLD = ['POST /api/v1/migrations/incoming/alive']

test('every route that changes something is in the log; no other is', async () => {
  const { trail, events } = memoryTrail()
  // A stream without an end would not be an answer to look at.
  await using rig = await startHttpRig({ events: { read: async function* () {} } }, trail)
  const { paths } = (await rig.fetch('GET', '/api/v1/openapi.json')).json as { paths: Record<string, object> }
  for (const [pattern, item] of Object.entries(paths)) {
    for (const verb of Object.keys(item).map((name) => name.toUpperCase())) {
      events.length = 0
      const name = `${verb} ${pattern.replace(/\{(\w+)\}/g, ':$1')}`
      await rig.fetch(verb, pattern.replace(/\{\w+\}/g, VM_ID), verb === 'GET' || verb === 'DELETE' ? undefined : {})
      if (UNTOLD.includes(name) || (verb === 'GET' && !TOLD_READS.includes(name))) expect(events, name).toEqual([])
      else {
        expect(events.length, name).toBeGreaterThan(0)
        for (const event of events) expect(event, name).toMatchObject({ method: name, caller: { peer: '127.0.0.1' } })
        const [first] = events
        expect(events.map(({ type }) => type)).toEqual(first?.type === 'call' ? ['call', 'result'] : ['refused'])
      }
    }
  }
})

test('who, what and how it ended, but nothing of what a request carries', async () => {
  const { trail, events } = memoryTrail()
  await using rig = await startHttpRig(
    {
      vms: {
        stop: async (vmId) => {
          throw new AgentError('VM_STOP_TIMEOUT', `VM ${vmId} still runs`)
        },
      },
    },
    trail,
  )
  await rig.fetch('POST', `/api/v1/vms/${VM_ID}/stop`, { timeoutSeconds: 1 })
  const about = { method: 'POST /api/v1/vms/:id/stop', objects: { id: VM_ID }, caller: { via: 'http' } }
  expect(events).toMatchObject([
    { type: 'call', ...about },
    { type: 'result', result: 'VM_STOP_TIMEOUT', ...about },
  ])
  events.length = 0
  await rig.fetch('POST', `/api/v1/vms/${VM_ID}/execute`, { command: 'passwd --hunter2' })
  const url = 'https://user:hunter2@h/x?token=hunter2'
  await rig.fetch('POST', '/api/v1/images/download', { imageId: 'i', url, targetDir: '/p' })
  expect(events).toHaveLength(4)
  expect(JSON.stringify(events)).not.toContain('hunter2')
})

test('ids that only the answer has are told with the result', async () => {
  const { trail, events } = memoryTrail()
  await using rig = await startHttpRig({}, trail)
  await rig.fetch('POST', '/api/v1/images/uploads', { filename: 'x.qcow2', sizeBytes: 10 })
  expect(events[0]).not.toHaveProperty('objects.uploadId')
  expect(Object.keys((events[1] as { objects: object }).objects)).toContain('uploadId')
})

test('what is turned away before its work begins is in the log with the reason', async () => {
  const { trail, events } = memoryTrail()
  await using rig = await startHttpRig({}, trail)
  await rig.fetch('POST', `/api/v1/vms/${VM_ID}/start`, undefined, { origin: 'http://evil.example' })
  await rig.fetch('POST', `/api/v1/vms/${VM_ID}/stop`, { timeoutSeconds: 'soon' })
  await rig.fetch('POST', '/api/v1/nowhere', {})
  expect(events).toMatchObject([
    { type: 'refused', method: 'POST /api/v1/vms/:id/start', result: 'ORIGIN_REFUSED', objects: { id: VM_ID } },
    { type: 'refused', method: 'POST /api/v1/vms/:id/stop', result: 'INVALID_REQUEST' },
  ])
})

test('a log that cannot be written stops changes only when the configuration says so', async () => {
  for (const required of [false, true]) {
    const { trail } = memoryTrail({ full: true, required })
    await using rig = await startHttpRig({}, trail)
    const answer = await rig.fetch('POST', `/api/v1/vms/${VM_ID}/start`)
    expect(answer.status).toBe(required ? 503 : 204)
    expect(rig.services.calls.some(({ method }) => method.includes('start'))).toBe(!required)
    expect((await rig.fetch('GET', '/metrics')).text).toContain('limiquantix_audit_healthy 0')
  }
})
