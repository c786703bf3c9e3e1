import { loadSync } from '@grpc/proto-loader'
import * as grpc from '@grpc/grpc-js'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { ERROR_CODES } from '../../../src/core/error-code.ts'
import { AgentError } from '../../../src/core/errors.ts'
import type { Reason } from '../../../src/core/reasons.ts'
import { GRPC_STATUS } from '../../../src/grpc/status.ts'
import { ask, failure, startRig } from './client.ts'
import { VM_ID } from './fake-services.ts'

async function statusFor(error: Error) {
  await using rig = await startRig({ vms: { status: () => Promise.reject(error) } })
  return await failure(ask(rig.client, rig.client.GetVMStatus, { vmId: VM_ID }))
}

test('every failure class is the gRPC status of the same name', () => {
  for (const code of ERROR_CODES) expect(GRPC_STATUS[code]).toBe(grpc.status[code])
  expect(Object.keys(GRPC_STATUS)).toHaveLength(16)
})

describe('words that control planes act on', () => {
  // The words of contract 1.5: said only where they are meant.
  const TRIGGERS = /already|exists|not found|notfound|no mount path|nodomain|failed_precondition/i
  test.each<[Reason, string]>([
    ['POOL_IO_ERROR', 'mkdir: File exists'],
    ['POOL_IO_ERROR', 'the path does not exist'],
    ['COMMAND_FAILED', 'mount: /x: already mounted'],
    ['COMMAND_FAILED', 'qemu-img: command not found'],
    ['LIBVIRT_REFUSED', 'Domain not found: no domain with matching uuid'],
    ['LIBVIRT_UNAVAILABLE', 'VM not found: x'],
    ['POOL_UNAVAILABLE', 'pool p not found'],
    ['POOL_PATH_MISSING', 'there is no mount path'],
    ['INTERNAL', 'virErrorNumber NoDomain, NotFound, FAILED_PRECONDITION'],
    ['VM_NAME_TAKEN', 'domain web already exists with uuid x'],
    ['FILE_NOT_FOUND', 'file not found'],
    ['JOB_NOT_FOUND', 'job x not found'],
  ])('%s: %s', async (reason, text) => {
    const error = await statusFor(new AgentError(reason, text, { details: { hint: text } }))
    expect(error.details).not.toMatch(TRIGGERS)
    expect(error.metadata.get('grpc-status-details-bin')[0]?.toString()).not.toMatch(
      /already|exists|not found|no mount path|nodomain/i,
    )
  })

  test.each<[Reason, string, grpc.status, string]>([
    ['VM_NOT_FOUND', `VM not found: ${VM_ID}`, grpc.status.NOT_FOUND, 'VM not found: '],
    ['POOL_NOT_FOUND', 'pool p-1 not found on this host', grpc.status.NOT_FOUND, 'not found'],
  ])('%s keeps them', async (reason, text, code, words) => {
    const error = await statusFor(new AgentError(reason, text))
    expect(error).toMatchObject({ code, details: expect.stringContaining(words) })
  })

  test('a hostile id cannot smuggle them in', async () => {
    await using rig = await startRig()
    const error = await failure(ask(rig.client, rig.client.StartVM, { vmId: 'VM not found: already exists' }))
    expect(error.details).not.toMatch(TRIGGERS)
  })
})

describe('what an error carries', () => {
  test('reason, request id and google.rpc.ErrorInfo', async () => {
    const directory = await mkdtemp(path.join(tmpdir(), 'lqx-proto-'))
    await writeFile(
      path.join(directory, 'status.proto'),
      `syntax = "proto3"; package t; service S { rpc M(Status) returns (Info); }
       message Any { string type_url = 1; bytes value = 2; }
       message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
       message Info { string reason = 1; string domain = 2; map<string, string> metadata = 3; }`,
    )
    const loaded = loadSync('status.proto', { includeDirs: [directory] })
    const method = (loaded['t.S'] as unknown as grpc.ServiceDefinition)['M']
    const long = 'ü'.repeat(200)
    const error = await statusFor(new AgentError('POOL_FULL', `pool p is full ${long}`, { details: { needed: '10' } }))
    expect(error.metadata.get('limiquantix-reason')).toEqual(['POOL_FULL'])
    expect(error.metadata.get('limiquantix-request-id')[0]).toMatch(/^[0-9a-f-]{36}$/)
    const details = method?.requestDeserialize(error.metadata.get('grpc-status-details-bin')[0] as Buffer) as {
      code: number
      message: string
      details: { typeUrl: string; value: Buffer }[]
    }
    expect(details).toMatchObject({ code: 8, message: `pool p is full ${long}` })
    expect(details.details[0]?.typeUrl).toBe('type.googleapis.com/google.rpc.ErrorInfo')
    expect(method?.responseDeserialize(details.details[0]?.value as Buffer)).toEqual({
      reason: 'POOL_FULL',
      domain: 'node.limiquantix',
      metadata: { needed: '10' },
    })
  })

  test('the request id of the caller', async () => {
    await using rig = await startRig()
    const metadata = new grpc.Metadata()
    metadata.set('x-request-id', 'cp-42')
    const error = await new Promise<grpc.ServiceError | null>((resolve) =>
      rig.client.StartVM({ vmId: 'x' }, metadata, (e) => resolve(e)),
    )
    expect(error?.metadata.get('limiquantix-request-id')).toEqual(['cp-42'])
  })

  test('a text of any length and any characters gets through', async () => {
    const error = await statusFor(new AgentError('COMMAND_FAILED', `a\r\nb\0${'ü'.repeat(20_000)}`))
    expect(error.code).toBe(grpc.status.INTERNAL)
    expect(error.details.length).toBeLessThanOrEqual(2_000)
  })

  test.each([
    [new TypeError('boom'), grpc.status.INTERNAL, 'INTERNAL'],
    ['a string' as unknown as Error, grpc.status.INTERNAL, 'INTERNAL'],
    [new DOMException('late', 'TimeoutError'), grpc.status.DEADLINE_EXCEEDED, 'DEADLINE_EXCEEDED'],
  ])('a thrown %s', async (thrown, code, reason) => {
    const error = await statusFor(thrown)
    expect(error.code).toBe(code)
    expect(error.metadata.get('limiquantix-reason')).toEqual([reason])
  })
})

describe('bytes that are no message', () => {
  const send = async (bytes: Buffer, method: string) => {
    await using rig = await startRig()
    const client = new grpc.Client(rig.target, grpc.credentials.createInsecure())
    try {
      return await new Promise<grpc.ServiceError | null>((resolve) => {
        const same = (value: Buffer) => value
        client.makeUnaryRequest(`/limiquantix.node.v1.NodeDaemonService/${method}`, same, same, bytes, (e) =>
          resolve(e),
        )
      })
    } finally {
      client.close()
    }
  }

  test.each([
    ['CreateVM', Buffer.from('ffffffffff', 'hex')],
    ['StartVM', Buffer.from('0aff', 'hex')],
    ['InitStoragePool', Buffer.from('<html>not a message</html>')],
  ])('%s', async (method, bytes) => {
    const error = await send(bytes, method)
    expect(error).toMatchObject({ code: grpc.status.INVALID_ARGUMENT, details: expect.stringMatching(/^request: /) })
  })

  test('an empty body is a message with nothing set', async () => {
    expect(await send(Buffer.alloc(0), 'ListVMs')).toBeNull()
  })

  test('a message above 4 MiB', async () => {
    expect(await send(Buffer.alloc(5 * 1024 * 1024), 'CreateVM')).toMatchObject({
      code: grpc.status.RESOURCE_EXHAUSTED,
    })
  })

  test('an unknown method', async () => {
    expect(await send(Buffer.alloc(0), 'NoSuchMethod')).toMatchObject({ code: grpc.status.UNIMPLEMENTED })
  })
})
