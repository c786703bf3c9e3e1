import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest'
import { NodeClient } from '../../control-plane/node-client.ts'
import { startAgent, type AgentProcess } from '../../support/agent-process.ts'
import { until } from '../../support/until.ts'
import { missingCeph, startCeph } from '../ceph.ts'
import { makeBootImage } from '../domains/boot-sector.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'

const missing =
  (await requirePrerequisite('ceph', missingCeph)) ?? (await requirePrerequisite('libvirt', missingLibvirt))
const MIB = 2 ** 20

let directory: string
const open: (() => unknown)[] = []

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'lqx-agent-'))
  await chmod(directory, 0o711)
})
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
  await rm(directory, { recursive: true, force: true })
})

async function start(): Promise<AgentProcess> {
  const libvirt_uri = `qemu+unix:///system?socket=${inject('libvirtDir')}/run/libvirt-sock`
  const hypervisor = { libvirt_uri, domain_type: 'qemu', networks: { default: 'user' } }
  const config = { hypervisor, downloads: { allow_private_addresses: true } }
  const agent = await startAgent({ directory, config })
  open.push(() => agent.stop())
  return agent
}

function connect(agent: AgentProcess): NodeClient {
  const client = new NodeClient(agent.grpcAddress)
  open.push(() => client.close())
  return client
}

async function serve(file: string): Promise<string> {
  const content = await readFile(file)
  const server = createServer((_request, response) => response.end(content)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  open.push(() => server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/boot.qcow2`
}

interface Job {
  readonly jobId: string
  readonly status: string
  readonly targetPath: string
  readonly errorMessage: string
}

async function download(agent: AgentProcess, url: string, poolId: string): Promise<Job> {
  const answer = await fetch(`${agent.httpUrl}/api/v1/images/download`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    // The directory that the control plane makes up for pools without one.
    body: JSON.stringify({
      catalogId: 'boot',
      imageId: randomUUID(),
      url,
      poolId,
      checksum: '',
      targetDir: `${agent.stateDir}/pools/${poolId}/images/cloud-images`,
    }),
  })
  expect(answer.status).toBe(200)
  const { jobId } = (await answer.json()) as { jobId: string }
  return until(async () => {
    const poll = await fetch(`${agent.httpUrl}/api/v1/images/download/${jobId}`)
    const job = (await poll.json()) as Job
    expect(['pending', 'downloading', 'converting', 'completed']).toContain(job.status)
    return job.status === 'completed' ? job : undefined
  })
}

describe.skipIf(missing !== undefined)('a Ceph pool as a control plane uses it', () => {
  test('pool, image, VM and volumes by gRPC and HTTP, with a SIGKILL in between; nothing is left', async () => {
    const ceph = await startCeph(inject('cephDir'))
    const place = `agent-${randomUUID().slice(0, 8)}`
    await ceph.admin('ceph', 'osd', 'pool', 'create', place, '8')
    await ceph.admin('rbd', 'pool', 'init', place)
    const image = path.join(directory, 'boot.qcow2')
    await makeBootImage(image, 'ignores')
    const poolId = randomUUID()
    const config = {
      ceph: {
        clusterId: 'c1',
        poolName: place,
        monitors: [`${ceph.address}:6789`],
        user: 'admin',
        keyringPath: ceph.keyring('admin'),
      },
    }
    const init = { poolId, type: 'STORAGE_POOL_TYPE_CEPH_RBD', config }

    const first = await start()
    const pool = await connect(first).call<{ rbdPool: string; totalBytes: number }>('InitStoragePool', init, 60_000)
    expect(pool.rbdPool).toBe(place)
    expect(Number(pool.totalBytes)).toBeGreaterThan(MIB)
    const url = await serve(image)
    const job = await download(first, url, poolId)
    expect(job.targetPath).toBe(`${first.stateDir}/pools/${poolId}/images/cloud-images/boot.qcow2`)

    first.kill('SIGKILL')
    await first.exited
    const agent = await start()
    const node = connect(agent)
    await until(async () => (await node.call<{ healthy: boolean }>('HealthCheck')).healthy)
    // A download that is asked for before its pool was looked at again is refused when that takes more than 5 s.
    await until(async () => {
      const answer = await fetch(`${agent.httpUrl}/api/v1/storage/pools/${poolId}`)
      return ((await answer.json()) as { health: string }).health === 'HEALTHY'
    })
    expect((await download(agent, url, poolId)).targetPath).toBe(job.targetPath)
    const vmId = randomUUID()
    const disk = { id: 'root', sizeGib: 0, backingFile: job.targetPath, poolId, format: 'DISK_FORMAT_QCOW2' }
    const spec = { cpuCores: 1, memoryMib: 64, disks: [disk] }
    await node.call('CreateVM', { vmId, name: `vm-${vmId.slice(0, 8)}`, spec }, 120_000)
    await node.call('StartVM', { vmId }, 120_000)
    expect(await node.call('GetVMStatus', { vmId })).toMatchObject({ state: 'POWER_STATE_RUNNING' })

    // Volumes beside it.
    const volume = (volumeId: string) => ({ poolId, volumeId })
    await node.call('CreateVolume', { ...volume('data'), sizeBytes: 8 * MIB, sourceType: 'EMPTY' }, 60_000)
    await node.call('CreateVolumeSnapshot', { ...volume('data'), snapshotId: 'before' }, 60_000)
    await node.call('CloneVolume', { poolId, sourceVolumeId: 'data', destVolumeId: 'copy' }, 60_000)
    await node.call('ResizeVolume', { ...volume('copy'), newSizeBytes: 16 * MIB }, 60_000)
    const attach = await node.call<{ path: string; diskXml: string }>('GetVolumeAttachInfo', volume('copy'), 60_000)
    expect(attach.path).toBe(`rbd:${place}/copy`)
    expect(attach.diskXml).toContain(`name="${place}/copy"`)
    expect(JSON.stringify(attach)).not.toContain(await ceph.key('admin'))
    await expect(node.call('DestroyStoragePool', { poolId }, 60_000)).rejects.toMatchObject({ status: 9 })

    await node.call('DeleteVM', { vmId }, 120_000)
    for (const volumeId of ['copy', 'data', 'cloud-images/boot'])
      await node.call('DeleteVolume', volume(volumeId), 60_000)
    expect(JSON.parse(await ceph.admin('rbd', 'ls', place, '--format', 'json'))).toEqual([])
    await node.call('DestroyStoragePool', { poolId }, 60_000)
    expect(await node.call('ListStoragePools', {})).toMatchObject({ pools: [] })
  }, 300_000)

  test('an image that is uploaded into it is in the library, is not deleted while a VM has it, and goes with its volume', async () => {
    const ceph = await startCeph(inject('cephDir'))
    const place = `agent-${randomUUID().slice(0, 8)}`
    await ceph.admin('ceph', 'osd', 'pool', 'create', place, '8')
    await ceph.admin('rbd', 'pool', 'init', place)
    const image = path.join(directory, 'boot.qcow2')
    await makeBootImage(image, 'ignores')
    const poolId = randomUUID()
    const keyring = { user: 'admin', keyringPath: ceph.keyring('admin') }
    const cluster = { clusterId: 'c1', poolName: place, monitors: [`${ceph.address}:6789`], ...keyring }
    const agent = await start()
    const node = connect(agent)
    await node.call(
      'InitStoragePool',
      { poolId, type: 'STORAGE_POOL_TYPE_CEPH_RBD', config: { ceph: cluster } },
      60_000,
    )
    const ask = async (method: string, url: string, body?: object | Buffer) => {
      const isBytes = body instanceof Uint8Array
      const answer = await fetch(`${agent.httpUrl}/api/v1${url}`, {
        method,
        ...(body === undefined ? {} : { body: isBytes ? new Uint8Array(body) : JSON.stringify(body) }),
        ...(body === undefined || isBytes ? {} : { headers: { 'content-type': 'application/json' } }),
      })
      const text = await answer.text()
      return { status: answer.status, body: (text === '' ? {} : JSON.parse(text)) as Record<string, unknown> }
    }
    const targetDir = `${agent.stateDir}/pools/${poolId}/images/cloud-images`
    const upload = async () => {
      const begun = await ask('POST', '/images/uploads', { filename: 'boot.qcow2', poolId, targetDir })
      expect(begun.status).toBe(201)
      const url = `/images/uploads/${String(begun.body['uploadId'])}`
      expect((await ask('PUT', url, await readFile(image))).status).toBe(200)
      const { jobId } = (await ask('POST', `${url}/finish`)).body
      return until(async () => {
        const { body } = await ask('GET', `/images/download/${String(jobId)}`)
        return ['completed', 'failed'].includes(String(body['status'])) ? body : undefined
      })
    }
    const images = async () => {
      const { body } = await ask('GET', `/images?poolId=${poolId}`)
      return body['images'] as { id: string; path: string; usedBy: string[]; usersKnown: boolean }[]
    }
    expect(await upload()).toMatchObject({ status: 'completed', targetPath: `${targetDir}/boot.qcow2` })
    const [found, ...others] = await images()
    expect(others).toEqual([])
    expect(found).toMatchObject({ path: `${targetDir}/boot.qcow2`, storagePoolId: poolId, format: 'raw', usedBy: [] })
    // What is there is not taken for another upload.
    expect(await upload()).toMatchObject({ status: 'failed' })

    const vmId = randomUUID()
    const disk = { id: 'root', path: found?.path, poolId, format: 'DISK_FORMAT_RAW', readonly: true }
    const spec = { cpuCores: 1, memoryMib: 64, disks: [disk] }
    await node.call('CreateVM', { vmId, name: `vm-${vmId.slice(0, 8)}`, spec }, 120_000)
    await until(async () => (await images())[0]?.usedBy.some((user) => user.includes(vmId)))
    const refused = await ask('DELETE', `/images/${found?.id}`)
    expect([refused.status, refused.body['error']]).toEqual([409, 'image_in_use'])
    await node.call('DeleteVM', { vmId }, 120_000)
    await until(async () => (await images())[0]?.usedBy.length === 0)
    expect((await ask('DELETE', `/images/${found?.id}`)).status).toBeLessThan(300)
    expect(await images()).toEqual([])
    expect(JSON.parse(await ceph.admin('rbd', 'ls', place, '--format', 'json'))).toEqual([])
    // Nothing is remembered of it, either.
    expect(await upload()).toMatchObject({ status: 'completed' })
    await ask('DELETE', `/images/${found?.id}`)
    await node.call('DestroyStoragePool', { poolId }, 60_000)
  }, 300_000)
})
