import { randomUUID } from 'node:crypto'
import { afterEach, describe, expect, test } from 'vitest'
import { requirePrerequisite } from '../host/require.ts'
import { until } from '../support/until.ts'
import { heldImage } from './held-image.ts'
import { rigPools } from './rig-pools.ts'
import { agentService } from './service.ts'
import { missingRig, useRig } from './use-rig.ts'

const TRACES = '/run/rig-traces'
const AGENT = '/opt/limiquantix-node/bin/limiquantix-node serve --config /etc/limiquantix/node.yaml'
// -D: the agent stays the main process of its unit, and the tracer is its child.
const STRACE = `/usr/bin/strace -D -ff --seccomp-bpf -qq -s 4096 -e trace=%%file -e signal=none -o ${TRACES}/trace`

describe.skipIf(await requirePrerequisite('rig', missingRig))('the main process of the agent', () => {
  const rig = useRig()
  const pools = rigPools(rig)
  const service = agentService(rig)
  afterEach(async () => {
    await pools.destroyAll()
    await service.dropInsGone()
    await service.control('restart')
    await rig.exec(`rm -rf ${TRACES}`)
  }, 300_000)

  test('makes no file-system call on a path of an NFS pool in its whole life', async () => {
    await using source = await heldImage()
    await using port = await rig.expose(source.port)
    source.release()
    // One trace for each thread and process, begun with the program; children are followed so that the work that must show does. The unit forbids debugging.
    await rig.exec(`mkdir -p ${TRACES}`)
    await service.dropIn(
      'trace',
      `[Service]\nSystemCallFilter=\nTimeoutStartSec=300\nWatchdogSec=0\nExecStart=\nExecStart=${STRACE} ${AGENT}\n`,
    )
    await rig.exec('systemctl restart limiquantix-node', { timeoutMs: 300_000 })
    const { MainPID: main } = await service.properties('MainPID')

    const pool = await pools.nfs('pool5')
    const { poolId, mountPath } = pool
    await until(async () => (await pools.look(poolId)).observedAt !== pool.observedAt)
    const { body } = await rig.http<{ jobId: string }>('POST', '/api/v1/images/download', {
      imageId: randomUUID(),
      url: `http://${rig.serverAddress}:${port.port}/image.qcow2`,
      targetDir: `${mountPath}/cloud-images`,
      poolId,
      checksum: source.checksum,
      filename: 'image.qcow2',
    })
    await until(async () => {
      const job = await rig.http<{ status: string; errorMessage: string }>(
        'GET',
        `/api/v1/images/download/${body.jobId}`,
      )
      if (job.body.status === 'failed') throw new Error(job.body.errorMessage)
      return job.body.status === 'completed'
    }, 120_000)
    expect(await pools.filesStatus(poolId)).toBe(200)
    // Volumes are made and deleted with their VM.
    const vmId = randomUUID()
    await rig.node.call(
      'CreateVM',
      {
        vmId,
        name: 'traced-guest',
        spec: {
          cpuCores: 1,
          memoryMib: 64,
          disks: [
            { id: 'root', poolId, backingFile: `${mountPath}/cloud-images/image.qcow2`, bootable: true },
            { id: 'data', poolId, sizeGib: 1 },
          ],
        },
      },
      120_000,
    )
    await rig.node.call('GetVMStatus', { vmId })
    await rig.node.call('DeleteVM', { vmId }, 120_000)
    expect((await rig.http('GET', '/api/v1/storage/pools')).status).toBe(200)
    const destroyed = await rig.http('DELETE', `/api/v1/storage/pools/${poolId}`)
    expect(destroyed.status).toBe(204)

    // Which of the traces are threads of the main process: asked while it lives, of all it ever had a trace for.
    const answer = await rig.exec(
      `cd ${TRACES} && for file in trace.*; do tid=\${file#trace.}; kind=other; [ -d /proc/${main}/task/$tid ] && kind=main; grep -F ${mountPath} $file | grep -v ^execve | sed "s/^/$kind /"; done; echo; ls /proc/${main}/task | while read tid; do [ -s trace.$tid ] && echo $tid; done`,
    )
    const [text = '', traced = ''] = answer.split('\n\n')
    const lines = text.split('\n')
    expect(lines.filter((line) => line.startsWith('main '))).toEqual([])
    // The trace would have shown it: it has the threads, and the work of the others.
    expect(traced.trim().split('\n').length).toBeGreaterThan(3)
    const others = lines.filter((line) => line.startsWith('other '))
    expect(others.length).toBeGreaterThan(20)
    expect(others.join('\n')).toContain(mountPath)
  }, 600_000)
})
