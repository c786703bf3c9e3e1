import { expect, test } from 'vitest'
import { z } from 'zod'
import { VM_ID } from '../grpc/fake-services.ts'
import { startHttpRig, type Answer } from './client.ts'

interface Operation {
  responses: Record<string, { content?: Record<string, { schema: object }> }>
  requestBody?: { required: boolean; content: Record<string, { schema: object }> }
  parameters: { name: string; in: string; required: boolean }[]
}
interface Document {
  openapi: string
  paths: Record<string, Record<string, Operation>>
  components: { schemas: { Error: object } }
}

const VM = { vmId: VM_ID, name: 'web', cpuCores: 1, memoryMib: 64, disks: [{ id: 'root', sizeGib: 1 }], nics: [] }

// [operation of the document, path to ask, body]
const REQUESTS: [string, string, string, unknown?][] = [
  ['get', '/api/v1/host', '/api/v1/host'],
  ['get', '/api/v1/host/health', '/api/v1/host/health'],
  ['get', '/healthz', '/healthz'],
  ['get', '/readyz', '/readyz'],
  ['get', '/metrics', '/metrics'],
  ['get', '/api/v1/openapi.json', '/api/v1/openapi.json'],
  ['get', '/api/v1/vms', '/api/v1/vms'],
  ['post', '/api/v1/vms', '/api/v1/vms', VM],
  ['get', '/api/v1/vms/{id}', `/api/v1/vms/${VM_ID}`],
  ['delete', '/api/v1/vms/{id}', `/api/v1/vms/${VM_ID}`],
  ['post', '/api/v1/vms/{id}/start', `/api/v1/vms/${VM_ID}/start`],
  ['post', '/api/v1/vms/{id}/stop', `/api/v1/vms/${VM_ID}/stop`, { timeoutSeconds: 1 }],
  ['post', '/api/v1/vms/{id}/force-stop', `/api/v1/vms/${VM_ID}/force-stop`],
  ['post', '/api/v1/vms/{id}/reboot', `/api/v1/vms/${VM_ID}/reboot`],
  ['post', '/api/v1/vms/{id}/pause', `/api/v1/vms/${VM_ID}/pause`],
  ['post', '/api/v1/vms/{id}/resume', `/api/v1/vms/${VM_ID}/resume`],
  ['get', '/api/v1/vms/{id}/qemu-agent/ping', `/api/v1/vms/${VM_ID}/qemu-agent/ping`],
  ['post', '/api/v1/vms/{id}/qemu-agent/exec', `/api/v1/vms/${VM_ID}/qemu-agent/exec`, { command: 'true' }],
  ['get', '/api/v1/storage/pools', '/api/v1/storage/pools'],
  ['post', '/api/v1/storage/pools', '/api/v1/storage/pools', { poolId: 'p', type: 'LOCAL_DIR', path: '/p' }],
  ['get', '/api/v1/storage/pools/{id}', '/api/v1/storage/pools/pool-1'],
  ['delete', '/api/v1/storage/pools/{id}', '/api/v1/storage/pools/pool-1'],
  ['get', '/api/v1/storage/pools/{id}/files', '/api/v1/storage/pools/pool-1/files'],
  ['post', '/api/v1/images/download', '/api/v1/images/download', { imageId: 'i', url: 'https://h/x', targetDir: '/p' }],
  ['get', '/api/v1/images/download/{job}', '/api/v1/images/download/job-1'],
  ['delete', '/api/v1/images/download/{job}', '/api/v1/images/download/job-1'],
  ['get', '/api/v1/images/downloads', '/api/v1/images/downloads'],
]

const schemaOf = (schema: object) => z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0])

test('the document describes every route, and every answer fits what it says', async () => {
  await using rig = await startHttpRig()
  const document = (await rig.fetch('GET', '/api/v1/openapi.json')).json as Document
  expect(document.openapi).toBe('3.1.0')
  const described = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.keys(item).map((verb) => `${verb} ${path}`),
  )
  expect(described.sort()).toEqual(REQUESTS.map(([verb, path]) => `${verb} ${path}`).sort())
  for (const [verb, path, url, body] of REQUESTS) {
    const operation = document.paths[path]?.[verb]
    const answer = await rig.fetch(verb.toUpperCase(), url, body)
    expectDescribed(`${verb} ${path}`, operation, answer, body)
  }
})

function expectDescribed(name: string, operation: Operation | undefined, answer: Answer, body: unknown): void {
  const described = operation?.responses[String(answer.status)]
  expect(described, `${name} answered ${answer.status}: ${answer.text}`).toBeDefined()
  const json = described?.content?.['application/json']
  if (json) expect(schemaOf(json.schema).safeParse(answer.json), name).toMatchObject({ success: true })
  else if (!described?.content) expect(answer.text, name).toBe('')
  else expect(Object.keys(described.content), name).toContain(answer.type.split(';')[0])
  const request = operation?.requestBody?.content['application/json']
  if (request) expect(schemaOf(request.schema).safeParse(body), name).toMatchObject({ success: true })
}

test('answers with an undocumented key would be noticed', async () => {
  await using rig = await startHttpRig()
  const document = (await rig.fetch('GET', '/api/v1/openapi.json')).json as Document
  const schema = document.paths['/api/v1/host/health']?.['get']?.responses['200']?.content?.['application/json']?.schema
  const health = (await rig.fetch('GET', '/api/v1/host/health')).json as object
  expect(schemaOf(schema as object).safeParse({ ...health, surprise: 1 }).success).toBe(false)
})

test('errors fit the error schema', async () => {
  await using rig = await startHttpRig()
  const document = (await rig.fetch('GET', '/api/v1/openapi.json')).json as Document
  const answer = await rig.fetch('GET', '/api/v1/vms/x')
  expect(schemaOf(document.components.schemas.Error).safeParse(answer.json).success).toBe(true)
})
