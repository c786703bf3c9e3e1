import { once } from 'node:events'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import { downloadImage } from '../../control-plane/image-download.ts'
import { startReplay } from '../../control-plane/replay.ts'
import { readSession, writeSession } from '../../control-plane/session-file.ts'
import { startStandInControlPlane } from '../../control-plane/stand-in.ts'
import type { Exchange } from '../../control-plane/traffic.ts'
import type { AgentProcess } from '../../support/agent-process.ts'
import { until } from '../../support/until.ts'
import { makeBootImage } from '../domains/boot-sector.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import { GRPC_PORT, HTTP_PORT, loopbackAddress, startLoopbackAgent } from './loopback-agents.ts'

const RECORDING = path.join(import.meta.dirname, '../../control-plane/sessions/quickstart.jsonl')
const address = loopbackAddress(11)
const POOL = '10000000-0000-4000-8000-000000000001'
const VM = '20000000-0000-4000-8000-000000000002'
const IMAGE = '30000000-0000-4000-8000-000000000003'

const missing = await requirePrerequisite('libvirt', missingLibvirt)

// LQX_RECORD=1 writes the recording anew, from the session that the stand-in has with the agent of this checkout.
describe.skipIf(missing !== undefined)('a session of a control plane with one host', { timeout: 300_000 }, () => {
  let directory: string
  let agent: AgentProcess
  let images: { readonly url: string; close(): void }

  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'lqx-replay-'))
    await chmod(directory, 0o711)
    const file = path.join(directory, 'boot.qcow2')
    await makeBootImage(file, 'ignores')
    images = await serve(await readFile(file))
  })
  afterEach(async () => {
    await agent.stop()
    images.close()
    await rm(directory, { recursive: true, force: true })
  })

  const start = async (controlPlane: string) => {
    const libvirtUri = `qemu+unix:///system?socket=${inject('libvirtDir')}/run/libvirt-sock`
    const hypervisor = { libvirt_uri: libvirtUri, domain_type: 'qemu', networks: { default: 'user' } }
    const config = { hypervisor }
    agent = await startLoopbackAgent({ address, hostname: 'hv-quickstart', controlPlane, directory, config })
  }
  const variables = () => ({
    address,
    pool: path.join(directory, 'pool'),
    images: images.url,
    state: path.join(directory, 'hv-quickstart', address, 'state'),
  })

  /** Adds a host, makes a pool, downloads an image, makes a VM, runs it and deletes it. */
  const converse = async (signal: AbortSignal): Promise<readonly Exchange[]> => {
    const cp = await startStandInControlPlane({ heartbeatIntervalSecs: 5, nodeGrpcPort: GRPC_PORT })
    try {
      await start(cp.url)
      const { pool: root } = variables()
      const node = await until(() => Promise.resolve([...cp.fleet.nodes.values()][0]))
      const nodes = cp.connections
      if (nodes === undefined) throw new Error('the stand-in does not dial')
      const beat = (fits: (text: string) => boolean) =>
        cp.waitForHeartbeatThat((each) => fits(JSON.stringify(each)), signal)
      await beat(() => true)
      // Told after a random time: from here on nothing depends on that.
      await cp.traffic.waitFor(({ call }) => call === 'SyncFullState', signal)
      await until(async () => (await (await nodes.connect(node.id)).call<{ healthy: boolean }>('HealthCheck')).healthy)
      const pool = cp.fleet.addPool({
        ...{ id: POOL, name: 'quickstart', kind: 'LOCAL_DIR', assignedNodeIds: [node.id] },
        config: { local: { path: root } },
      })
      await nodes.createPool(pool)
      await beat((text) => text.includes(POOL))
      const job = { catalogId: 'boot', imageId: IMAGE, url: `${images.url}/boot.qcow2`, poolId: POOL, checksum: '' }
      const record = await downloadImage(
        `http://${address}:${HTTP_PORT}`,
        { ...job, targetDir: `${root}/cloud-images` },
        {
          signal,
          periodMs: 200,
          traffic: cp.traffic,
        },
      )
      expect(record.phase).toBe('READY')
      const disk = { id: 'root', backingFile: record.path, sizeGib: 1, bootable: true, poolId: POOL }
      const cloudInit = { userData: '#cloud-config\nhostname: web-1\n', metaData: 'instance-id: web-1\n' }
      const spec = { cpuCores: 1, memoryMib: 64, disks: [disk], nics: [{ id: 'nic-1', network: 'default' }], cloudInit }
      await nodes.createVm(node.id, { vmId: VM, name: 'web-1', spec })
      await cp.traffic.waitFor(({ call }) => call === 'SyncNodeVMs', signal)
      await nodes.power(VM, 'StartVM', 'running')
      await nodes.listPoolFiles(node.id, POOL, 'iso')
      const client = await nodes.connect(node.id)
      await client.call('GetVMStatus', { vmId: VM })
      await nodes.power(VM, 'ForceStopVM', 'stopped')
      await nodes.deleteVm(VM)
      await expect(client.call('GetVMStatus', { vmId: VM })).rejects.toThrow(/VM not found/)
      expect(cp.violations).toEqual([])
      return [...cp.traffic.exchanges]
    } finally {
      await cp.close()
    }
  }

  if (process.env['LQX_RECORD'] === '1')
    it('is recorded', async ({ signal }) => {
      const exchanges = await converse(signal)
      const accepted = exchanges.find(({ call }) => call === 'POST /api/v1/images/download')
      const { jobId } = accepted?.response as { jobId: string }
      await writeFile(RECORDING, writeSession(exchanges, { ...variables(), job: jobId }))
    })

  it('goes the same way with the agent of this checkout as it was recorded', async ({ signal }) => {
    const replay = await startReplay(readSession(await readFile(RECORDING, 'utf8'), variables()))
    try {
      await start(replay.url)
      expect(await replay.play(signal)).toEqual([])
    } finally {
      await replay.close()
    }
  })
})

async function serve(content: Buffer): Promise<{ readonly url: string; close(): void }> {
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-length': content.length, 'content-type': 'application/octet-stream' })
    response.end(content)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
}
