import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { chmod, mkdir, mkdtemp, rm, unlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { imageId } from '../../../src/images/library/image-ids.ts'
import { downloadImage } from '../../control-plane/image-download.ts'
import { startStandInControlPlane, type StandInControlPlane } from '../../control-plane/stand-in.ts'
import { startAgent, type AgentProcess } from '../../support/agent-process.ts'
import { until } from '../../support/until.ts'
import { rawDisk, startImageServer } from '../../unit/images/image-server.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'

const run = promisify(execFile)
const missing = await requirePrerequisite('qemu-img and genisoimage', missingCommand('qemu-img', 'genisoimage'))

describe.skipIf(missing !== undefined)('images of a real agent at a control plane', () => {
  const signal = new AbortController().signal
  const poolId = 'cp-pool'
  let directory: string
  let agent: AgentProcess
  let cp: StandInControlPlane

  const start = async () => {
    agent = await startAgent({
      directory,
      config: {
        hypervisor: { libvirt_uri: 'qemu+unix:///system?socket=/nowhere/libvirt-sock' },
        downloads: { allow_private_addresses: true },
        control_plane: { address: cp.url, registration_enabled: true, heartbeat_interval_secs: 5 },
        node: { hostname: 'image-sync', management_ip: '127.0.0.1' },
        images: { scan_interval_secs: 10 },
      },
    })
  }
  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'lqx-image-sync-'))
    await chmod(directory, 0o711)
    cp = await startStandInControlPlane({ heartbeatIntervalSecs: 5 })
    await start()
  })
  afterEach(async () => {
    await agent.stop()
    await cp.close()
    await rm(directory, { recursive: true, force: true })
  })

  const post = (url: string, body?: object) =>
    fetch(`${agent.httpUrl}${url}`, {
      method: 'POST',
      ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    })
  const isoFile = async (file: string) => {
    await mkdir(path.dirname(file), { recursive: true })
    const content = path.join(directory, 'content')
    await mkdir(content, { recursive: true })
    await writeFile(path.join(content, 'readme'), 'x')
    await run('genisoimage', ['-quiet', '-V', 'TOOLS', '-o', file, content])
    // As if it had been there for a while.
    await utimes(file, new Date(), new Date(Date.now() - 3_600_000))
  }
  const records = () => [...cp.fleet.images.values()].map((one) => one.path).sort()

  it('tells of ISOs that come and go, and of a download only when the control plane knows where it is', async () => {
    const pool = path.join(directory, 'pool')
    expect((await post('/api/v1/storage/pools', { poolId, type: 'LOCAL_DIR', path: pool })).status).toBe(200)
    const iso = path.join(pool, 'iso', 'tools.iso')
    await isoFile(iso)
    await post('/api/v1/images/scan')
    await until(async () => records().includes('iso/tools.iso'))
    const record = [...cp.fleet.images.values()].find((one) => one.path === 'iso/tools.iso')
    expect(record).toMatchObject({ id: imageId({ poolId, nodeId: '', path: 'iso/tools.iso' }), poolId })

    await using server = await startImageServer(rawDisk(4 * 1024 * 1024))
    const target = path.join(pool, 'cloud-images', 'debian-12.qcow2')
    cp.fleet.downloading.add(target)
    const download = downloadImage(
      agent.httpUrl,
      {
        catalogId: 'debian-12',
        imageId: randomUUID(),
        url: `${server.origin}/paused`,
        targetDir: path.dirname(target),
        poolId,
        checksum: '',
      },
      { signal, onPoll: ({ bytesDownloaded }) => void (bytesDownloaded > 0 && server.release()) },
    )
    // Something else changes meanwhile, which is told without the unfinished one.
    await isoFile(path.join(agent.stateDir, 'cloud-images', 'second.iso'))
    await post('/api/v1/images/scan')
    const done = await download
    expect(done).toMatchObject({ phase: 'READY', path: target })
    cp.fleet.downloading.delete(target)
    const [node] = cp.fleet.nodes.keys()
    cp.fleet.images.set(`${node} ${target}`, { nodeId: node ?? '', path: target, catalogId: 'debian-12' })
    const second = path.join(agent.stateDir, 'cloud-images', 'second.iso')
    await until(async () => records().includes(second))
    await until(async () => cp.requests.some(({ method }) => method === 'ScanLocalImages'))
    expect(records()).toEqual([second, target, 'iso/tools.iso'].sort())
    expect(cp.fleet.images.get(`${node} ${target}`)).toMatchObject({ catalogId: 'debian-12' })

    // Gone while the agent was not there.
    agent.kill('SIGKILL')
    await agent.exited
    await unlink(iso)
    await start()
    await until(async () => !records().includes('iso/tools.iso'))
    expect(records()).toEqual([second, target].sort())
    expect(cp.violations).toEqual([])
  })
})
