import { expect, test } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { commitLive } from '../../../src/domains/live-commit.ts'
import type { SnapshotParts } from '../../../src/domains/read-snapshots.ts'
import {
  VIR_DOMAIN_BLOCK_JOB_ABORT,
  VIR_DOMAIN_BLOCK_JOB_TYPE as TYPE,
  VIR_DOMAIN_STATE,
  VIR_ERR,
} from '../../../src/libvirt/constants.ts'
import { LibvirtError } from '../../../src/libvirt/errors.ts'

const vmId = '6f0c1a52-0d0e-4a51-9a44-1f6a2a7c9b10'
const job = { vmId, target: 'vda', top: '/pool/top.qcow2', base: '/pool/base.qcow2' }

interface Host {
  /** Files of the disk, the topmost first. */
  chain: string[]
  /** Type of the block job on the disk; absent when there is none. */
  type?: number
  readonly state?: number
  /** Called with each call that changes something; may throw. */
  readonly onChange?: (name: string, host: Host) => void
}

/** A libvirt with one VM, of which nothing but one disk and its block job is of interest. */
function scripted(host: Host, signal = AbortSignal.timeout(10_000)) {
  const changes: { name: string; flags: number }[] = []
  const call = (name: string, args: { flags: number }) => {
    switch (name) {
      case 'remote:DOMAIN_GET_BLOCK_JOB_INFO':
        return Promise.resolve({ found: host.type === undefined ? 0 : 1, type: host.type ?? 0, cur: 8n, end: 8n })
      case 'remote:DOMAIN_GET_STATE':
        return Promise.resolve({ state: host.state ?? VIR_DOMAIN_STATE.RUNNING, reason: 0 })
      case 'remote:DOMAIN_GET_XML_DESC':
        return Promise.resolve({ xml: domainXml(host.chain) })
      default:
        changes.push({ name, flags: args.flags })
        return Promise.resolve().then(() => host.onChange?.(name, host))
    }
  }
  const client = { call, ready: () => Promise.resolve(), subscribe: () => Promise.resolve(() => Promise.resolve()) }
  const parts = { client, log: silentLogger } as unknown as SnapshotParts
  return { changes, done: commitLive(job, parts, { signal, log: silentLogger }) }
}

function domainXml([top = '', ...below]: readonly string[]): string {
  const backing = below.reduceRight(
    (inner, file) => `<backingStore type='file'><format type='qcow2'/><source file='${file}'/>${inner}</backingStore>`,
    '<backingStore/>',
  )
  const disk = `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${top}'/>${backing}<target dev='vda' bus='virtio'/></disk>`
  return `<domain type='qemu'><name>web</name><uuid>${vmId}</uuid><memory>1024</memory><vcpu>1</vcpu><os><type>hvm</type></os><devices>${disk}</devices></domain>`
}

function refusal(code: number): LibvirtError {
  const none = { str1: null, str2: null, str3: null, int1: 0, int2: 0 }
  return new LibvirtError('remote:DOMAIN_BLOCK_COMMIT', { code, domain: 10, level: 2, message: 'no', ...none })
}

test.each([
  ['copy', TYPE.COPY],
  ['backup', TYPE.BACKUP],
  ['pull', TYPE.PULL],
])('a %s that is at work on the disk is left alone, and named', async (name, type) => {
  const { changes, done } = scripted({ chain: [job.top, job.base], type })
  await expect(done).rejects.toMatchObject({
    reason: 'VM_STATE_CONFLICT',
    message: expect.stringContaining(`(${name})`) as string,
  })
  expect(changes).toEqual([])
})

test('a commit that is ready is pivoted, and then done', async () => {
  const onChange = (_name: string, host: Host) => {
    host.chain = [job.base]
    delete host.type
  }
  const { changes, done } = scripted({ chain: [job.top, job.base], type: TYPE.ACTIVE_COMMIT, onChange })
  expect(await done).toBe('done')
  expect(changes).toEqual([{ name: 'remote:DOMAIN_BLOCK_JOB_ABORT', flags: VIR_DOMAIN_BLOCK_JOB_ABORT.PIVOT }])
})

test('a disk that was put on another file is not taken for merged', async () => {
  const { done } = scripted({ chain: ['/copy.qcow2'] })
  await expect(done).rejects.toMatchObject({ reason: 'VM_STATE_CONFLICT' })
})

test('cancelling ends a commit, and no job of another kind', async () => {
  const cancelled = AbortSignal.abort(new Error('cancelled'))
  const copy = scripted({ chain: [job.top, job.base], type: TYPE.COPY }, cancelled)
  await expect(copy.done).rejects.toThrow()
  expect(copy.changes).toEqual([])
  const commit = scripted({ chain: [job.top, job.base], type: TYPE.COMMIT }, cancelled)
  await expect(commit.done).rejects.toThrow()
  expect(commit.changes).toEqual([{ name: 'remote:DOMAIN_BLOCK_JOB_ABORT', flags: 0 }])
})

test('a VM counts as off only when it is', async () => {
  const onChange = () => {
    throw refusal(VIR_ERR.OPERATION_INVALID)
  }
  const running = scripted({ chain: [job.top, job.base], onChange })
  await expect(running.done).rejects.toMatchObject({ reason: 'VM_STATE_CONFLICT' })
  expect(running.changes).toHaveLength(1)
  const off = scripted({ chain: [job.top, job.base], state: VIR_DOMAIN_STATE.SHUTOFF, onChange })
  expect(await off.done).toBe('off')
})
