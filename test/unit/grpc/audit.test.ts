import { Metadata } from '@grpc/grpc-js'
import { expect, test } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { AgentError } from '../../../src/core/errors.ts'
import { createHandlers } from '../../../src/grpc/handlers.ts'
import { memoryTrail } from '../audit/memory-trail.ts'
import { ask, failure, startRig } from './client.ts'
import { fakeServices, VM_ID } from './fake-services.ts'

// Methods that only tell; every other one of the service has to be in the audit log.
const READS = [
  'HealthCheck',
  'GetNodeInfo',
  'GetVMStatus',
  'ListVMs',
  'StreamEvents',
  'StreamMetrics',
  'GetDownloadStatus',
  'ListDownloads',
  'GetStoragePoolInfo',
  'ListStoragePools',
  'ListStoragePoolFiles',
  'GetVolumeAttachInfo',
  'ListSnapshots',
  'GetOVSStatus',
  'GetNetworkPortStatus',
  'ListNetworkPorts',
]

type Handler = (call: object, callback: (error: unknown) => void) => unknown

test('every method that changes something is in the log, with its result; no other is', async () => {
  const { trail, events } = memoryTrail()
  const env = { log: silentLogger, stats: undefined, audit: trail, streams: new Set<(error: AgentError) => void>() }
  const handlers = createHandlers(fakeServices(), env) as unknown as Record<string, Handler>
  for (const [name, handler] of Object.entries(handlers)) {
    events.length = 0
    const outcome = await answerOf(handler, { malformed: 'no bytes' })
    if (READS.includes(name)) expect(events, name).toEqual([])
    else if (events.length === 0) {
      // What is not built changes nothing.
      expect(await answerOf(handler, {}), `${name} is in no audit log`).toContain('not built in this version')
    } else {
      expect(outcome).not.toBe('')
      expect(events, name).toMatchObject([
        { type: 'call', method: name, caller: { via: 'grpc', peer: '192.0.2.7' } },
        { type: 'result', method: name, result: 'INVALID_REQUEST' },
      ])
    }
  }
})

// The text of the error; empty for success.
function answerOf(handler: Handler, request: object): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  const end = (error?: unknown) => resolve((error as { details?: string } | null | undefined)?.details ?? '')
  const call = {
    request,
    metadata: new Metadata(),
    getPeer: () => '192.0.2.7:4000',
    getAuthContext: () => ({}),
    getDeadline: () => Infinity,
    once: () => undefined,
    end,
    emit: (_event: string, error: unknown) => end(error),
  }
  handler(call, end)
  return promise
}

test('who, what and how it ended, but nothing of what a request carries', async () => {
  const { trail, events } = memoryTrail()
  await using rig = await startRig(
    {
      vms: {
        start: async (vmId) => {
          throw new AgentError('VM_NOT_FOUND', `VM ${vmId} not found`)
        },
      },
    },
    trail,
  )
  await failure(ask(rig.client, rig.client.StartVM, { vmId: VM_ID }))
  expect(events).toMatchObject([
    { type: 'call', method: 'StartVM', objects: { vmId: VM_ID }, caller: { via: 'grpc', peer: '127.0.0.1' } },
    { type: 'result', method: 'StartVM', objects: { vmId: VM_ID }, result: 'VM_NOT_FOUND' },
  ])
  events.length = 0
  const request = { vmId: VM_ID, name: 'web', spec: { cloudInit: { userData: 'password: hunter2' } } }
  await ask(rig.client, rig.client.CreateVM, request).catch(() => undefined)
  expect(events.length).toBe(2)
  expect(JSON.stringify(events)).not.toContain('hunter2')
  events.length = 0
  await ask(rig.client, rig.client.ListVMs, {})
  expect(events).toEqual([])
})

test('a log that cannot be written stops changes only when the configuration says so', async () => {
  for (const required of [false, true]) {
    const { trail, events } = memoryTrail({ full: true, required })
    await using rig = await startRig({}, trail)
    const call = ask(rig.client, rig.client.StartVM, { vmId: VM_ID })
    if (required) expect((await failure(call)).details).toContain('ENOSPC')
    else await call
    expect(rig.services.calls.some(({ method }) => method.includes('start'))).toBe(!required)
    expect(events.at(-1)).toMatchObject({ type: 'result', result: required ? 'AUDIT_UNAVAILABLE' : 'OK' })
  }
})
