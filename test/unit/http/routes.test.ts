import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { AgentError } from '../../../src/core/errors.ts'
import { NOW, VM_ID, fakeServices, job, oneBatch, poolFiles } from '../grpc/fake-services.ts'
import { startHttpRig, type HttpRig } from './client.ts'

let rig: HttpRig
beforeEach(async () => {
  rig = await startHttpRig()
})
afterEach(async () => {
  await rig[Symbol.asyncDispose]()
})

const DOWNLOAD = {
  catalogId: 'debian-12',
  imageId: 'img-1',
  url: 'https://example.org/debian.qcow2',
  targetDir: '/pool/cloud-images',
  poolId: '',
  checksum: '',
}

describe('image download', () => {
  test('POST is 200 with the job, whatever else the control plane sends', async () => {
    const answer = await rig.fetch('POST', '/api/v1/images/download', { ...DOWNLOAD, future: { key: 1 } })
    expect(answer).toMatchObject({
      status: 200,
      json: {
        jobId: 'job-1',
        imageId: 'img-1',
        targetPath: '/pool/cloud-images/debian-12.qcow2',
        message: 'download started',
      },
    })
    expect(rig.services.calls).toEqual([
      { method: 'download', args: [expect.objectContaining({ ...DOWNLOAD, filename: '', checksumType: '' })] },
    ])
  })

  test('optional keys may be null or missing', async () => {
    const { imageId, url, targetDir } = DOWNLOAD
    const body = { imageId, url, targetDir, catalogId: null, poolId: null, checksum: null, filename: null }
    expect((await rig.fetch('POST', '/api/v1/images/download', body)).status).toBe(200)
    expect((await rig.fetch('POST', '/api/v1/images/download', { imageId, url, targetDir })).status).toBe(200)
  })

  test('an image that is in place answers 200 and a completed job', async () => {
    const completed = { ...job, state: 'completed', phase: 'done', bytesDone: 1000, finishedAt: NOW } as const
    await using own = await startHttpRig({ images: { download: async () => completed, job: () => completed } })
    expect(await own.fetch('POST', '/api/v1/images/download', DOWNLOAD)).toMatchObject({ status: 200 })
    expect((await own.fetch('GET', '/api/v1/images/download/job-1')).json).toMatchObject({
      status: 'completed',
      progressPercent: 100,
      bytesDownloaded: 1000,
    })
  })

  test.each([
    [{ state: 'pending' }, 'pending'],
    [{ state: 'running', phase: 'downloading' }, 'downloading'],
    [{ state: 'running', phase: 'verifying' }, 'downloading'],
    [{ state: 'running', phase: 'converting' }, 'converting'],
    [{ state: 'running', phase: 'publishing' }, 'downloading'],
    [{ state: 'completed', phase: 'done' }, 'completed'],
    [{ state: 'failed', errorMessage: 'HTTP 404 from the server' }, 'failed'],
    [{ state: 'cancelled' }, 'failed'],
  ] as const)('%o is %s for a control plane', async (part, status) => {
    await using own = await startHttpRig({ images: { job: () => ({ ...job, ...part }) } })
    const body = (await own.fetch('GET', '/api/v1/images/download/job-1')).json as Record<string, unknown>
    expect(body['status']).toBe(status)
    expect(Number.isInteger(body['progressPercent'])).toBe(true)
    expect(typeof body['errorMessage']).toBe(status === 'failed' ? 'string' : 'object')
    if (status === 'failed') expect(body['errorMessage']).not.toBe('')
  })

  test('progress has integers and times', async () => {
    expect((await rig.fetch('GET', '/api/v1/images/download/job-1')).json).toEqual({
      jobId: 'job-1',
      imageId: 'img-1',
      catalogId: 'debian-12',
      url: 'https://example.org/debian.qcow2',
      targetPath: '/pool/cloud-images/debian-12.qcow2',
      poolId: 'pool-1',
      status: 'downloading',
      progressPercent: 41,
      bytesDownloaded: 419,
      bytesTotal: 1000,
      errorMessage: null,
      startedAt: '2023-11-14T22:13:20.123Z',
      completedAt: null,
    })
  })

  test('list and cancel', async () => {
    expect((await rig.fetch('GET', '/api/v1/images/downloads')).json).toMatchObject({ jobs: [{ jobId: 'job-1' }] })
    expect((await rig.fetch('DELETE', '/api/v1/images/download/job-1')).status).toBe(204)
    expect(rig.services.calls).toEqual([{ method: 'cancel', args: ['job-1'] }])
  })

  test('unknown job', async () => {
    const answer = await rig.fetch('GET', '/api/v1/images/download/job-9')
    expect(answer).toMatchObject({ status: 404, json: { error: 'job_not_found' } })
  })
})

describe('vms', () => {
  const spec = {
    name: 'web',
    cpuCores: 2,
    memoryMib: 512,
    disks: [{ id: 'root', sizeGib: 3, bus: 'VIRTIO' }],
    nics: [],
  }

  test('list and get', async () => {
    const vm = (await rig.fetch('GET', `/api/v1/vms/${VM_ID}`)).json
    expect(vm).toMatchObject({
      vmId: VM_ID,
      state: 'RUNNING',
      cpuUsagePercent: 12.5,
      disks: [{ id: 'root', sizeGib: 4, sizeBytes: 3 * 1024 ** 3 + 1 }],
    })
    expect((await rig.fetch('GET', '/api/v1/vms')).json).toEqual({ vms: [vm] })
  })

  test('create is 201 with the VM, and 200 for the same again', async () => {
    let created = true
    await using own = await startHttpRig({
      vms: { create: async ({ vmId }) => ({ vmId, created }), status: fakeServices().vms.status },
    })
    expect(await own.fetch('POST', '/api/v1/vms', { ...spec, vmId: VM_ID })).toMatchObject({
      status: 201,
      json: { vmId: VM_ID },
    })
    created = false
    expect(await own.fetch('POST', '/api/v1/vms', { ...spec, vmId: VM_ID })).toMatchObject({ status: 200 })
  })

  test('a VM whose state cannot be read after the create is named', async () => {
    await using own = await startHttpRig({
      vms: { status: () => Promise.reject(new AgentError('LIBVIRT_UNAVAILABLE', 'no connection to libvirt')) },
    })
    const answer = await own.fetch('POST', '/api/v1/vms', spec)
    const { vmId } = own.services.calls[0]?.args[0] as { vmId: string }
    expect(answer).toMatchObject({
      status: 503,
      json: { error: 'libvirt_unavailable', message: expect.stringContaining(vmId) },
    })
  })

  test('create makes a request of the service', async () => {
    await rig.fetch('POST', '/api/v1/vms', {
      ...spec,
      vmId: VM_ID,
      nics: [{ id: 'n0', network: 'default', model: 'E1000E' }],
      cloudInit: { userData: '#cloud-config\n' },
    })
    expect(rig.services.calls[0]?.args[0]).toMatchObject({
      vmId: VM_ID,
      name: 'web',
      spec: {
        cpuCores: 2,
        memoryBytes: 512 * 1024 ** 2,
        firmware: 'bios',
        disks: [{ id: 'root', sizeBytes: 3 * 1024 ** 3, bus: 'virtio', format: 'qcow2' }],
        nics: [{ id: 'n0', model: 'e1000e' }],
        cloudInit: { userData: '#cloud-config\n', metaData: '' },
      },
    })
  })

  test.each([
    [{ name: '' }, 'name: '],
    [{ name: 'x'.repeat(300) }, 'name: '],
    [{ name: 'a\nb' }, 'name: '],
    [{ name: 'a\u0000b' }, 'name: '],
    [{ name: '../x' }, 'name: '],
    [{ cpuCores: 0 }, 'cpuCores: '],
    [{ cpuCores: 1.5 }, 'body.cpuCores: '],
    [{ memoryMib: 2 ** 53 }, 'body.memoryMib: '],
    [{ memoryMib: '512' }, 'body.memoryMib: '],
    [{ vmId: 'nope' }, 'vmId: '],
    [{ disks: [{ id: '../root', sizeGib: 1 }] }, 'disks[0].id: '],
    [{ disks: [{ id: 'root' }] }, 'disks[0].sizeGib: '],
    [{ disks: [{ id: 'a', sizeGib: 1, bus: 'floppy' }] }, 'disks[0].bus: '],
    [
      {
        disks: [
          { id: 'a', sizeGib: 1 },
          { id: 'a', sizeGib: 1 },
        ],
      },
      'disks[1].id: ',
    ],
    [{ disks: 'none' }, 'body.disks: '],
    [{ nics: [{ id: 'n', macAddress: 'zz' }] }, 'nics[0].macAddress: '],
    [{ firmware: 'coreboot' }, 'firmware: '],
    [{ bootOrder: ['floppy'] }, 'bootOrder[0]: '],
  ])('create with %o is 400 naming the field', async (part, prefix) => {
    const answer = await rig.fetch('POST', '/api/v1/vms', { ...spec, ...part })
    expect(answer.status).toBe(400)
    expect((answer.json as { message: string }).message.startsWith(prefix), answer.text).toBe(true)
    expect(rig.services.calls).toEqual([])
  })

  test.each([
    ['start', 'start'],
    ['force-stop', 'forceStop'],
    ['reboot', 'reboot'],
    ['reset', 'reset'],
    ['save', 'save'],
    ['pause', 'pause'],
    ['resume', 'resume'],
  ])('POST %s is 204, with or without an empty JSON body', async (word, method) => {
    expect(await rig.fetch('POST', `/api/v1/vms/${VM_ID}/${word}`)).toMatchObject({ status: 204, text: '' })
    const typed = await rig.fetch('POST', `/api/v1/vms/${VM_ID}/${word}`, '', { 'content-type': 'application/json' })
    expect(typed.status).toBe(204)
    expect(rig.services.calls.map((call) => call.method)).toEqual([method, method])
  })

  test('stop takes a timeout or waits 30 s', async () => {
    await rig.fetch('POST', `/api/v1/vms/${VM_ID}/stop`)
    await rig.fetch('POST', `/api/v1/vms/${VM_ID}/stop`, { timeoutSeconds: 5 })
    expect(rig.services.calls.map((call) => call.args[1])).toEqual([30, 5])
  })

  test('delete', async () => {
    expect((await rig.fetch('DELETE', `/api/v1/vms/${VM_ID}`)).status).toBe(204)
  })

  test('a VM that libvirt does not know', async () => {
    const answer = await rig.fetch('GET', `/api/v1/vms/${VM_ID.replace('1', '2')}`)
    expect(answer).toMatchObject({
      status: 404,
      json: { error: 'vm_not_found', message: expect.stringMatching(/^VM not found: /) },
    })
  })

  test('guest agent', async () => {
    expect((await rig.fetch('GET', `/api/v1/vms/${VM_ID}/qemu-agent/ping`)).json).toEqual({ available: true })
    const exec = (body: object) => rig.fetch('POST', `/api/v1/vms/${VM_ID}/qemu-agent/exec`, body)
    expect((await exec({ command: 'true', args: ['a'] })).json).toEqual({
      success: true,
      exitCode: 0,
      stdout: 'out',
      stderr: '',
    })
    expect((await exec({ command: 'false' })).json).toMatchObject({ success: false, exitCode: 1 })
    expect(rig.services.calls.at(-1)?.args[1]).toEqual({ command: 'false', args: [], timeoutMs: 30_000 })
    const result = { exitCode: 0, stdout: 'o', stderr: '', timedOut: false, truncated: true }
    await using own = await startHttpRig({ vms: { guestExec: async () => result } })
    const cut = await own.fetch('POST', `/api/v1/vms/${VM_ID}/qemu-agent/exec`, { command: 'cat' })
    expect(cut.json).toEqual({
      success: true,
      exitCode: 0,
      stdout: 'o',
      stderr: '',
      error: expect.stringContaining('cut'),
    })
  })

  test('a guest that refuses to run programs is an answer, in words that mean nothing else to a control plane', async () => {
    const guestExec = () =>
      Promise.reject(new AgentError('GUEST_AGENT_REFUSED', `VM ${VM_ID}: guest agent: guest-exec does not exist here`))
    await using own = await startHttpRig({ vms: { guestExec } })
    const answer = await own.fetch('POST', `/api/v1/vms/${VM_ID}/qemu-agent/exec`, { command: 'true' })
    expect(answer).toMatchObject({ status: 200, json: { success: false, error: expect.stringMatching(/guest-exec/) } })
  })
})

describe('pools', () => {
  test('list, get, delete', async () => {
    const pool = (await rig.fetch('GET', '/api/v1/storage/pools/pool-1')).json
    expect(pool).toMatchObject({
      poolId: 'pool-1',
      type: 'LOCAL_DIR',
      health: 'DEGRADED',
      totalBytes: 1000,
      volumeCount: 3,
    })
    expect((await rig.fetch('GET', '/api/v1/storage/pools')).json).toEqual({ pools: [pool] })
    expect((await rig.fetch('DELETE', '/api/v1/storage/pools/pool-1')).status).toBe(204)
    expect((await rig.fetch('GET', '/api/v1/storage/pools/pool-2')).json).toMatchObject({ error: 'pool_not_found' })
  })

  test.each([
    [
      { poolId: 'p', type: 'LOCAL_DIR', path: '/srv/p', capacityGib: 5 },
      { poolId: 'p', kind: 'LOCAL_DIR', options: { path: '/srv/p', capacityGib: 5 } },
    ],
    [
      { poolId: 'p', type: 'NFS', nfsServer: 's', nfsExport: '/e', options: { version: '4.2' } },
      { poolId: 'p', kind: 'NFS', options: { server: 's', exportPath: '/e', version: '4.2' } },
    ],
  ])('create %o', async (body, config) => {
    expect((await rig.fetch('POST', '/api/v1/storage/pools', body)).status).toBe(200)
    expect(rig.services.calls).toEqual([{ method: 'init', args: [config] }])
  })

  test('a pool type that is none', async () => {
    const answer = await rig.fetch('POST', '/api/v1/storage/pools', { poolId: 'p', type: 'UNSPECIFIED' })
    expect(answer).toMatchObject({ status: 400, json: { error: 'pool_type_unsupported' } })
  })

  test('files, whole and in part', async () => {
    const all = (await rig.fetch('GET', '/api/v1/storage/pools/pool-1/files?path=a%20b')).json as { entries: unknown[] }
    expect(all).toMatchObject({ path: 'a b', total: 2, entries: [{ name: 'iso', sizeBytes: 0 }, { name: 'a.qcow2' }] })
    expect(rig.services.calls[0]?.args[1]).toMatchObject({ path: 'a b', offset: 0, order: 'name', descending: false })
    const part = await rig.fetch('GET', '/api/v1/storage/pools/pool-1/files?offset=1&limit=5')
    expect(part.json).toMatchObject({ total: 2, entries: [all.entries[1]] })
    expect((await rig.fetch('GET', '/api/v1/storage/pools/pool-1/files?path=a%00b')).json).toMatchObject({
      error: 'invalid_path',
    })
    expect((await rig.fetch('GET', '/api/v1/storage/pools/pool-1/files?limit=-1')).status).toBe(400)
    expect((await rig.fetch('GET', '/api/v1/storage/pools/pool-1/files?sort=colour')).status).toBe(400)
    await rig.fetch('GET', '/api/v1/storage/pools/pool-1/files?sort=mtime&order=desc&limit=3')
    expect(rig.services.calls.at(-1)?.args[1]).toEqual({
      path: '',
      offset: 0,
      limit: 3,
      order: 'mtime',
      descending: true,
      form: 'json',
    })
  })

  test('a listing leads back to the root', async () => {
    const { json } = await rig.fetch('GET', '/api/v1/storage/pools/pool-1/files?path=vms/a%20b/')
    expect(json).toMatchObject({
      breadcrumbs: [
        { name: '/', path: '' },
        { name: 'vms', path: 'vms' },
        { name: 'a b', path: 'vms/a b' },
      ],
    })
  })

  test('a listing of several batches is one document; one that fails in the middle is an error and no half document', async () => {
    const many = async function* () {
      yield* oneBatch(4, poolFiles, 'json')
      yield* oneBatch(4, poolFiles, 'json')
    }
    const broken = async function* () {
      yield* oneBatch(4, poolFiles, 'json')
      throw new AgentError('SERVER_NOT_ANSWERING', 'NFS server 192.0.2.1 does not answer')
    }
    await using good = await startHttpRig({ pools: { files: many } })
    const answer = await good.fetch('GET', '/api/v1/storage/pools/pool-1/files')
    expect(answer.json).toMatchObject({ total: 4, entries: { length: 4 } })
    await using bad = await startHttpRig({ pools: { files: broken } })
    const failed = await bad.fetch('GET', '/api/v1/storage/pools/pool-1/files')
    expect(failed).toMatchObject({ status: 503, json: { error: 'server_not_answering' } })
  })

  test('make, rename and delete', async () => {
    const files = '/api/v1/storage/pools/pool-1/files'
    expect((await rig.fetch('POST', `${files}/mkdir`, { path: 'new' })).status).toBe(201)
    expect((await rig.fetch('POST', `${files}/mkdir`, { path: 'iso' })).status).toBe(200)
    expect((await rig.fetch('POST', `${files}/rename`, { from: 'a', to: 'b/c' })).status).toBe(204)
    expect((await rig.fetch('DELETE', `${files}?path=a%20b`)).status).toBe(204)
    expect(rig.services.calls.slice(2)).toEqual([
      { method: 'renameFile', args: ['pool-1', 'a', 'b/c'] },
      { method: 'deleteFile', args: ['pool-1', 'a b'] },
    ])
    for (const path of ['', 'a%00b']) {
      expect((await rig.fetch('DELETE', `${files}?path=${path}`)).json).toMatchObject({ error: 'invalid_path' })
    }
    expect((await rig.fetch('POST', `${files}/rename`, { from: 'a' })).status).toBe(400)
  })
})

describe('host', () => {
  test('summary and health', async () => {
    expect((await rig.fetch('GET', '/api/v1/host')).json).toMatchObject({ hostname: 'host-1', cpuCores: 4 })
    expect((await rig.fetch('GET', '/api/v1/host/health')).json).toEqual({
      healthy: true,
      version: '0.1.0',
      hypervisor: 'libvirt/QEMU',
      hypervisorVersion: '9.0.0',
      uptimeSeconds: 12,
    })
  })

  test('readiness says what it waits for', async () => {
    expect(await rig.fetch('GET', '/healthz')).toMatchObject({ status: 200 })
    expect(await rig.fetch('GET', '/readyz')).toMatchObject({ status: 200, json: { ready: true, waitingFor: [] } })
    await using own = await startHttpRig({ host: { readiness: () => ({ ready: false, waitingFor: ['recovery'] }) } })
    expect(await own.fetch('GET', '/readyz')).toMatchObject({
      status: 503,
      json: { ready: false, waitingFor: ['recovery'] },
    })
    expect(await own.fetch('GET', '/healthz')).toMatchObject({ status: 200 })
  })
})

test.each([
  ['POOL_IO_ERROR', 500, 'mkdir: File exists', 'mkdir: File is present'],
  ['LIBVIRT_REFUSED', 500, 'Domain not found', 'Domain missing'],
  ['POOL_FULL', 507, 'pool p is full', 'pool p is full'],
  ['VM_NOT_FOUND', 404, `VM not found: ${VM_ID}`, `VM not found: ${VM_ID}`],
] as const)('%s is %i with text that control planes do not misread', async (reason, status, text, message) => {
  await using own = await startHttpRig({ vms: { start: () => Promise.reject(new AgentError(reason, text)) } })
  const answer = await own.fetch('POST', `/api/v1/vms/${VM_ID}/start`)
  expect(answer).toMatchObject({ status, json: { error: reason.toLowerCase(), message } })
})

describe('metrics', () => {
  test('has the process, pools, VMs, jobs and requests', async () => {
    await rig.fetch('GET', '/healthz')
    const page = await rig.fetch('GET', '/metrics')
    expect(page.type).toContain('text/plain')
    for (const line of [
      'limiquantix_vms{state="RUNNING"} 1',
      `limiquantix_vm_vcpus{vm="${VM_ID}",name="web \\"1\\"\\\\\\n} 1"} 2`,
      'limiquantix_pool_bytes{pool="pool-1",type="LOCAL_DIR",kind="total"} 1000',
      'limiquantix_pool_health{pool="pool-1",type="LOCAL_DIR",health="DEGRADED"} 1',
      'limiquantix_operations{kind="download",state="running"} 1',
      'limiquantix_requests_total{transport="http",method="GET /healthz",code="200"} 1',
      'limiquantix_ready 1',
    ]) {
      expect(page.text.split('\n')).toContain(line)
    }
    for (const name of ['process_resident_memory_bytes', 'nodejs_eventloop_delay_seconds{quantile="0.99"}']) {
      expect(page.text).toContain(`\n${name} `)
    }
  })

  test('tells the state of the link to the control plane', async () => {
    const link = {
      connected: true,
      lastAckAt: 5_000,
      heartbeatsAcknowledged: 3,
      heartbeatsFailed: 1,
      registrations: 1,
      registrationsFailed: 0,
    }
    await using own = await startHttpRig({ host: { controlPlane: () => link } })
    const lines = (await own.fetch('GET', '/metrics')).text.split('\n')
    expect(lines).toContain('limiquantix_control_plane_connected 1')
    expect(lines).toContain('limiquantix_control_plane_last_ack_timestamp_seconds 5')
    expect(lines).toContain('limiquantix_control_plane_requests{kind="heartbeat",result="failed"} 1')
  })

  test('a service that fails is counted and the page is served', async () => {
    await using own = await startHttpRig({
      vms: { metrics: () => Promise.reject(new AgentError('LIBVIRT_UNAVAILABLE', 'no connection')) },
    })
    const page = await own.fetch('GET', '/metrics')
    expect(page).toMatchObject({
      status: 200,
      text: expect.stringContaining('limiquantix_scrape_errors_total{source="vms"} 1'),
    })
    expect(page.text).toContain('limiquantix_pool_bytes{')
  })
})

test('the load of the host is told while libvirt is away, without counts of VMs', async () => {
  const away = () => {
    throw new AgentError('LIBVIRT_UNAVAILABLE', 'libvirt is away')
  }
  await using own = await startHttpRig({ vms: { states: away } })
  expect(await own.fetch('GET', '/api/v1/host/metrics')).toMatchObject({
    status: 200,
    json: { load_average_1min: 0.1, vm_count: null, vm_running_count: null },
  })
  expect((await rig.fetch('GET', '/api/v1/host/metrics')).json).toMatchObject({ vm_count: 1 })
})
