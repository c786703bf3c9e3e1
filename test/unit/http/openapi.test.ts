import { expect, test } from 'vitest'
import { z } from 'zod'
import { image, JOIN_TOKEN, VM_ID } from '../grpc/fake-services.ts'
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

const VM_URL = `/api/v1/vms/${VM_ID}`
const IMAGE = `/api/v1/images/${image.id}`
const VOLUMES = '/api/v1/storage/pools/pool-1/volumes'

const INCOMING = '/api/v1/migrations/incoming'
const OFFER = {
  id: VM_ID,
  vmId: VM_ID,
  name: 'web',
  liveXml: '<domain/>',
  configXml: '<domain/>',
  memoryBytes: 1,
  paused: false,
  copyStorage: false,
  disks: [],
  directory: '/var/lib/x',
  host: { agentId: 'a', libVersion: 1, qemuVersion: 1, cpuXml: '' },
}

function uploadForm(): FormData {
  const form = new FormData()
  form.set('checksum', 'a'.repeat(64))
  form.set('file', new Blob(['bytes of an image']), 'x.qcow2')
  return form
}
// Refused on TCP; test/host/agent/join.test.ts has them on the unix socket.
const LOCAL_ONLY = [
  'post /api/v1/registration/token',
  'post /api/v1/cluster/generate-token',
  'post /api/v1/cluster/test-connection',
  'post /api/v1/cluster/leave',
]

// Not an answer but another protocol; web-socket.test.ts has them.
const OVER_WEBSOCKET = ['get /api/v1/vms/{id}/console/ws']

// [operation of the document, path to ask, body]
const REQUESTS: [string, string, string, unknown?][] = [
  ['get', '/api/v1/host', '/api/v1/host'],
  ['get', '/api/v1/host/health', '/api/v1/host/health'],
  ['get', '/api/v1/registration/ping', '/api/v1/registration/ping'],
  ['get', '/api/v1/registration/token', '/api/v1/registration/token'],
  ['get', '/api/v1/registration/discovery', '/api/v1/registration/discovery'],
  [
    'post',
    '/api/v1/registration/complete',
    '/api/v1/registration/complete',
    { token: JOIN_TOKEN, controlPlaneAddress: 'http://192.0.2.1:8080' },
  ],
  [
    'post',
    '/api/v1/cluster/join',
    '/api/v1/cluster/join',
    { controlPlaneAddress: 'http://192.0.2.1:8080', registrationToken: JOIN_TOKEN },
  ],
  ['get', '/api/v1/cluster/status', '/api/v1/cluster/status'],
  ['get', '/api/v1/cluster/config', '/api/v1/cluster/config'],
  ['get', '/api/v1/host/metrics', '/api/v1/host/metrics'],
  ['get', '/api/v1/events', '/api/v1/events?level=warning&limit=5'],
  ['get', '/api/v1/events/stream', '/api/v1/events/stream'],
  ['put', '/api/v1/vms/{id}/disks/{disk}/mark', `/api/v1/vms/${VM_ID}/disks/root/mark`, { bytes: 1024 }],
  ['get', '/healthz', '/healthz'],
  ['get', '/readyz', '/readyz'],
  ['get', '/metrics', '/metrics'],
  ['get', '/api/v1/openapi.json', '/api/v1/openapi.json'],
  ['get', '/api/v1/vms', '/api/v1/vms'],
  ['post', '/api/v1/vms', '/api/v1/vms', VM],
  ['get', '/api/v1/vms/{id}', `/api/v1/vms/${VM_ID}`],
  ['delete', '/api/v1/vms/{id}', `/api/v1/vms/${VM_ID}`],
  ['post', '/api/v1/vms/{id}/start', `/api/v1/vms/${VM_ID}/start`, { takeOver: false }],
  ['post', '/api/v1/vms/{id}/stop', `/api/v1/vms/${VM_ID}/stop`, { timeoutSeconds: 1 }],
  ['post', '/api/v1/vms/{id}/force-stop', `/api/v1/vms/${VM_ID}/force-stop`],
  ['post', '/api/v1/vms/{id}/reboot', `/api/v1/vms/${VM_ID}/reboot`],
  ['post', '/api/v1/vms/{id}/reset', `/api/v1/vms/${VM_ID}/reset`],
  ['post', '/api/v1/vms/{id}/save', `/api/v1/vms/${VM_ID}/save`],
  ['get', '/api/v1/vms/{id}/save', `/api/v1/vms/${VM_ID}/save`],
  ['delete', '/api/v1/vms/{id}/save', `/api/v1/vms/${VM_ID}/save`],
  ['put', '/api/v1/vms/{id}/autostart', `/api/v1/vms/${VM_ID}/autostart`, { enabled: true }],
  ['post', '/api/v1/vms/{id}/pause', `/api/v1/vms/${VM_ID}/pause`],
  ['post', '/api/v1/vms/{id}/resume', `/api/v1/vms/${VM_ID}/resume`],
  ['get', '/api/v1/vms/{id}/qemu-agent/ping', `/api/v1/vms/${VM_ID}/qemu-agent/ping`],
  ['post', '/api/v1/vms/{id}/qemu-agent/exec', `/api/v1/vms/${VM_ID}/qemu-agent/exec`, { command: 'true' }],
  ['get', '/api/v1/vms/{id}/console', `/api/v1/vms/${VM_ID}/console`],
  ['post', '/api/v1/vms/{id}/console/tickets', `${VM_URL}/console/tickets`, { kind: 'serial' }],
  ['get', '/api/v1/vms/{id}/console/log', `${VM_URL}/console/log?lines=2`],
  ['get', '/api/v1/vms/{id}/logs', `${VM_URL}/logs?lines=2`],
  ['get', '/api/v1/vms/{id}/agent/ping', `${VM_URL}/agent/ping`],
  ['get', '/api/v1/vms/{id}/agent/logs', `${VM_URL}/agent/logs?lines=10`],
  ['get', '/api/v1/vms/{id}/agent/files/list', `${VM_URL}/agent/files/list?path=%2Fetc&include_hidden=true`],
  ['get', '/api/v1/vms/{id}/agent/files/read', `${VM_URL}/agent/files/read?path=%2Fetc%2Fhostname`],
  ['post', '/api/v1/vms/{id}/agent/refresh', `${VM_URL}/agent/refresh`, {}],
  ['post', '/api/v1/vms/{id}/agent/install', `${VM_URL}/agent/install`, { force: false }],
  ['post', '/api/v1/vms/{id}/agent/update', `${VM_URL}/agent/update`, {}],
  ['post', '/api/v1/vms/{id}/agent/shutdown', `${VM_URL}/agent/shutdown`, {}],
  ['post', '/api/v1/vms/{id}/agent/reboot', `${VM_URL}/agent/reboot`, {}],
  [
    'post',
    '/api/v1/vms/{id}/execute',
    `${VM_URL}/execute`,
    { command: 'uptime', timeoutSeconds: 30, waitForExit: true },
  ],
  ['post', '/api/v1/vms/{id}/disks', `${VM_URL}/disks`, { id: 'data', sizeGib: 1 }],
  ['delete', '/api/v1/vms/{id}/disks/{disk}', `${VM_URL}/disks/data`],
  ['post', '/api/v1/vms/{id}/disks/{disk}/resize', `${VM_URL}/disks/data/resize`, { sizeBytes: 1024 }],
  ['post', '/api/v1/vms/{id}/disks/{disk}/move', `${VM_URL}/disks/data/move`, { poolId: 'pool-2' }],
  ['post', '/api/v1/vms/{id}/migrate', `${VM_URL}/migrate`, { target: 'https://192.0.2.2:8443' }],
  ['post', '/api/v1/vms/{id}/migrate/check', `${VM_URL}/migrate/check`, { target: '192.0.2.2' }],
  ['post', '/api/v1/migrations/announce', '/api/v1/migrations/announce', { vmId: VM_ID }],
  ['post', '/api/v1/migrations/receive', '/api/v1/migrations/receive', { vmId: VM_ID, token: 'token' }],
  ['post', `${INCOMING}/check`, `${INCOMING}/check`, { offer: OFFER }],
  ['post', `${INCOMING}/open`, `${INCOMING}/open`, { offer: OFFER, files: [] }],
  ['post', `${INCOMING}/prepare`, `${INCOMING}/prepare`, { id: VM_ID, xml: '<a/>', cookie: '', flags: 1 }],
  ['post', `${INCOMING}/alive`, `${INCOMING}/alive`, { id: VM_ID }],
  ['post', `${INCOMING}/finish`, `${INCOMING}/finish`, { id: VM_ID, vmId: VM_ID }],
  ['get', '/api/v1/vms/{id}/snapshots', `${VM_URL}/snapshots`],
  ['post', '/api/v1/vms/{id}/snapshots', `${VM_URL}/snapshots`, { name: 'before' }],
  ['post', '/api/v1/vms/{id}/snapshots/{snapshot}/revert', `${VM_URL}/snapshots/before/revert`],
  ['delete', '/api/v1/vms/{id}/snapshots/{snapshot}', `${VM_URL}/snapshots/before`],
  ['get', '/api/v1/vms/{id}/backups', `${VM_URL}/backups`],
  ['get', '/api/v1/backups', '/api/v1/backups'],
  ['post', '/api/v1/vms/{id}/backups', `${VM_URL}/backups`, { poolId: 'pool-1' }],
  ['post', '/api/v1/vms/{id}/backups/{backup}/restore', `${VM_URL}/backups/b/restore`, { poolId: 'p', prefix: 'r' }],
  ['delete', '/api/v1/vms/{id}/backups/{backup}', `${VM_URL}/backups/b`],
  ['get', '/api/v1/vms/{id}/exports', `${VM_URL}/exports`],
  ['post', '/api/v1/vms/{id}/exports', `${VM_URL}/exports`, {}],
  ['post', '/api/v1/vms/{id}/exports/{export}/end', `${VM_URL}/exports/e/end`, { complete: true }],
  ['delete', '/api/v1/vms/{id}/exports/{export}', `${VM_URL}/exports/e`],
  ['get', '/api/v1/vms/{id}/nics', `${VM_URL}/nics`],
  ['post', '/api/v1/vms/{id}/nics', `${VM_URL}/nics`, { id: 'nic1', network: 'default' }],
  ['patch', '/api/v1/vms/{id}/nics/{nic}', `${VM_URL}/nics/nic1`, { linkUp: false }],
  ['delete', '/api/v1/vms/{id}/nics/{nic}', `${VM_URL}/nics/nic1`],
  ['post', '/api/v1/vms/{id}/cdrom/insert', `${VM_URL}/cdrom/insert`, { device: 'sdb', isoPath: 'iso/x.iso' }],
  ['post', '/api/v1/vms/{id}/cdrom/eject', `${VM_URL}/cdrom/eject`, {}],
  ['post', '/api/v1/vms/{id}/cdrom/mount-agent-iso', `${VM_URL}/cdrom/mount-agent-iso`, {}],
  ['get', '/api/v1/updates/check', '/api/v1/updates/check'],
  ['get', '/api/v1/updates/version', '/api/v1/updates/version'],
  ['get', '/api/v1/updates/status', '/api/v1/updates/status'],
  ['post', '/api/v1/updates/apply', '/api/v1/updates/apply'],
  ['get', '/api/v1/storage/pools', '/api/v1/storage/pools'],
  ['post', '/api/v1/storage/pools', '/api/v1/storage/pools', { poolId: 'p', type: 'LOCAL_DIR', path: '/p' }],
  ['get', '/api/v1/storage/pools/{id}', '/api/v1/storage/pools/pool-1'],
  ['delete', '/api/v1/storage/pools/{id}', '/api/v1/storage/pools/pool-1'],
  ['get', '/api/v1/storage/pools/{id}/files', '/api/v1/storage/pools/pool-1/files'],
  ['delete', '/api/v1/storage/pools/{id}/files', '/api/v1/storage/pools/pool-1/files?path=a'],
  ['post', '/api/v1/storage/pools/{id}/files/mkdir', '/api/v1/storage/pools/pool-1/files/mkdir', { path: 'a' }],
  [
    'post',
    '/api/v1/storage/pools/{id}/files/rename',
    '/api/v1/storage/pools/pool-1/files/rename',
    { from: 'a', to: 'b' },
  ],
  ['get', '/api/v1/storage/pools/{id}/files/content', '/api/v1/storage/pools/pool-1/files/content?path=a.txt'],
  ['get', '/api/v1/storage/pools/{id}/volumes', `${VOLUMES}`],
  ['post', '/api/v1/storage/pools/{id}/volumes', `${VOLUMES}`, { volumeId: 'data', sizeBytes: 1024 }],
  ['delete', '/api/v1/storage/pools/{id}/volumes/{volume}', `${VOLUMES}/data`],
  ['post', '/api/v1/storage/pools/{id}/volumes/{volume}/resize', `${VOLUMES}/data/resize`, { sizeBytes: 2048 }],
  ['get', '/api/v1/storage/pools/{id}/volumes/{volume}/attach-info', `${VOLUMES}/data/attach-info`],
  ['get', '/api/v1/storage/pools/{id}/volumes/{volume}/snapshots', `${VOLUMES}/data/snapshots`],
  ['post', '/api/v1/storage/pools/{id}/volumes/{volume}/snapshots', `${VOLUMES}/data/snapshots`, { snapshotId: 's' }],
  ['delete', '/api/v1/storage/pools/{id}/volumes/{volume}/snapshots/{snapshot}', `${VOLUMES}/data/snapshots/s`],
  ['post', '/api/v1/images/download', '/api/v1/images/download', { imageId: 'i', url: 'https://h/x', targetDir: '/p' }],
  ['get', '/api/v1/images/download/{job}', '/api/v1/images/download/job-1'],
  ['delete', '/api/v1/images/download/{job}', '/api/v1/images/download/job-1'],
  ['get', '/api/v1/images/downloads', '/api/v1/images/downloads'],
  ['get', '/api/v1/storage/images', '/api/v1/storage/images?kind=disk'],
  ['get', '/api/v1/images', '/api/v1/images?folder=%2Fiso&includeSubfolders=true'],
  ['get', '/api/v1/images/catalog', '/api/v1/images/catalog'],
  ['get', '/api/v1/images/folders', '/api/v1/images/folders'],
  ['post', '/api/v1/images/scan', '/api/v1/images/scan'],
  ['post', '/api/v1/images/sync', '/api/v1/images/sync'],
  ['get', '/api/v1/images/{id}', `${IMAGE}`],
  ['post', '/api/v1/images/{id}/move', `${IMAGE}/move`, { folderPath: '/linux' }],
  ['delete', '/api/v1/images/{id}', `${IMAGE}`],
  ['post', '/api/v1/storage/convert', '/api/v1/storage/convert', { sourcePath: '/p/a.vmdk', destPath: '/p/b.qcow2' }],
  ['get', '/api/v1/storage/convert/{job}', '/api/v1/storage/convert/job-1'],
  ['post', '/api/v1/images/verify', '/api/v1/images/verify', { path: '/p/b.qcow2' }],
  ['post', '/api/v1/images/uploads', '/api/v1/images/uploads', { filename: 'x.qcow2', sizeBytes: 10 }],
  ['get', '/api/v1/images/uploads/{upload}', '/api/v1/images/uploads/upload-1'],
  ['put', '/api/v1/images/uploads/{upload}', '/api/v1/images/uploads/upload-1', 'some bytes'],
  ['post', '/api/v1/images/uploads/{upload}/finish', '/api/v1/images/uploads/upload-1/finish'],
  ['delete', '/api/v1/images/uploads/{upload}', '/api/v1/images/uploads/upload-1'],
  ['post', '/api/v1/images/upload', '/api/v1/images/upload', uploadForm()],
  ['post', '/api/v1/storage/upload', '/api/v1/storage/upload?folder=%2Flinux', uploadForm()],
  ['get', '/api/v1/jobs', '/api/v1/jobs?state=running'],
  ['get', '/api/v1/jobs/{job}', '/api/v1/jobs/job-1'],
  ['patch', '/api/v1/jobs/{job}', '/api/v1/jobs/job-1', { rateLimitBytesPerSecond: 0 }],
  ['get', '/api/v1/settings/images/rate-limit', '/api/v1/settings/images/rate-limit'],
  ['get', '/api/v1/settings/certificates', '/api/v1/settings/certificates'],
  ['delete', '/api/v1/settings/certificates', '/api/v1/settings/certificates'],
  ['post', '/api/v1/settings/certificates/upload', '/api/v1/settings/certificates/upload', { certificate: 'x' }],
  [
    'post',
    '/api/v1/settings/certificates/authorities',
    '/api/v1/settings/certificates/authorities',
    { caCertificate: 'x' },
  ],
  ['post', '/api/v1/settings/certificates/generate', '/api/v1/settings/certificates/generate', {}],
  ['post', '/api/v1/settings/certificates/request', '/api/v1/settings/certificates/request', {}],
  [
    'post',
    '/api/v1/settings/certificates/enrol',
    '/api/v1/settings/certificates/enrol',
    { url: 'https://ca.example.org', token: 't' },
  ],
  ['get', '/api/v1/settings/certificates/acme', '/api/v1/settings/certificates/acme'],
  [
    'post',
    '/api/v1/settings/certificates/acme/register',
    '/api/v1/settings/certificates/acme/register',
    { email: 'a@example.org' },
  ],
  [
    'post',
    '/api/v1/settings/certificates/acme/issue',
    '/api/v1/settings/certificates/acme/issue',
    { domains: ['hv-1.example'] },
  ],
  ['put', '/api/v1/settings/images/rate-limit', '/api/v1/settings/images/rate-limit', { hostBytesPerSecond: 0 }],
  ['post', '/api/v1/jobs/{job}/cancel', '/api/v1/jobs/job-1/cancel'],
  ['post', '/api/v1/jobs/{job}/retry', '/api/v1/jobs/job-1/retry'],
  ['get', '/api/v1/jobs/{job}/log', '/api/v1/jobs/job-1/log'],
  ['get', '/api/v1/jobs/{job}/events', '/api/v1/jobs/job-1/events'],
]

const schemaOf = (schema: object) => z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0])

test('the document describes every route, and every answer fits what it says', async () => {
  // A stream without an end would not be an answer to look at.
  await using rig = await startHttpRig({ events: { read: async function* () {} } })
  const document = (await rig.fetch('GET', '/api/v1/openapi.json')).json as Document
  expect(document.openapi).toBe('3.1.0')
  const described = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.keys(item).map((verb) => `${verb} ${path}`),
  )
  expect(described.sort()).toEqual(
    [...REQUESTS.map(([verb, path]) => `${verb} ${path}`), ...LOCAL_ONLY, ...OVER_WEBSOCKET].sort(),
  )
  for (const [verb, path, url, body] of REQUESTS) {
    const operation = document.paths[path]?.[verb]
    const answer = await rig.fetch(verb.toUpperCase(), url, body, { authorization: `Bearer ${JOIN_TOKEN}` })
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
