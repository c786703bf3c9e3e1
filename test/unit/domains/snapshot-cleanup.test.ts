import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import type { SnapshotParts } from '../../../src/domains/read-snapshots.ts'
import { SNAPSHOT_KINDS, SnapshotOperations } from '../../../src/domains/snapshot-operations.ts'
import {
  VIR_DOMAIN_EVENT,
  VIR_DOMAIN_EVENT_STARTED,
  VIR_DOMAIN_STATE,
  VIR_ERR,
} from '../../../src/libvirt/constants.ts'
import { LibvirtError } from '../../../src/libvirt/errors.ts'
import { uuidBytes } from '../../../src/libvirt/uuid.ts'
import { OperationManager } from '../../../src/operations/manager.ts'
import type { OperationRecord } from '../../../src/operations/operation.ts'
import { KeyedLock } from '../../../src/core/keyed-lock.ts'
import { openStateStore } from '../../../src/platform/state-store.ts'

const vmId = '6f0c1a52-0d0e-4a51-9a44-1f6a2a7c9b10'
const dom = { name: '', uuid: uuidBytes(vmId), id: 1 }
const xml = `<domain type='qemu'><name>web</name><uuid>${vmId}</uuid><memory>1024</memory><vcpu>1</vcpu><os><type>hvm</type></os><devices/></domain>`
const REFUSED = VIR_ERR.INTERNAL_ERROR

let dir: string
let manager: OperationManager
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'lqx-cleanup-'))
})
afterEach(async () => {
  await manager.shutdown(0)
  await rm(dir, { recursive: true })
})

/** A cleanup for a guest that stands still; `thaw` throws what libvirt says when its agent is asked to let it go on. */
async function startCleanup(thaw: (asked: number) => void) {
  let asked = 0
  const listeners = new Map<string, (event: object) => void>()
  const call = async (name: string, args: { cmd: string }) => {
    await Promise.resolve()
    switch (name) {
      case 'qemu:DOMAIN_AGENT_COMMAND':
        if (args.cmd.includes('guest-fsfreeze-status')) return { result: '{"return":"thawed"}' }
        thaw(++asked)
        return { result: '{"return":1}' }
      case 'remote:DOMAIN_GET_JOB_INFO':
        return { type: 0 }
      case 'remote:DOMAIN_LIST_ALL_SNAPSHOTS':
        return { snapshots: [] }
      case 'remote:DOMAIN_GET_STATE':
        return { state: VIR_DOMAIN_STATE.RUNNING, reason: 0 }
      case 'remote:DOMAIN_GET_XML_DESC':
        return { xml }
      default:
        throw new Error(`no answer to ${name}`)
    }
  }
  const subscribe = (event: string, listener: (event: object) => void) => {
    listeners.set(event, listener)
    return Promise.resolve(() => Promise.resolve())
  }
  const client = { call, subscribe, ready: () => Promise.resolve() }
  const records = openStateStore(dir, silentLogger).collection<OperationRecord>('operations')
  manager = new OperationManager(records, new KeyedLock(), silentLogger)
  const inventory = { settle: () => Promise.resolve() }
  const parts = { client, deps: {}, log: silentLogger } as unknown as SnapshotParts
  new SnapshotOperations({ parts, operations: manager, inventory, thawTimeoutMs: 20 })
  await manager.load()
  await manager.recover()
  const { id } = await manager.start(SNAPSHOT_KINDS.cleanup, { vmId, name: 's', frozen: true }, { subject: vmId })
  return { asked: () => asked, listeners, ended: manager.wait(id, AbortSignal.timeout(15_000)) }
}

function refusal(code: number): LibvirtError {
  const none = { str1: null, str2: null, str3: null, int1: 0, int2: 0 }
  return new LibvirtError('qemu:DOMAIN_AGENT_COMMAND', { code, domain: 10, level: 2, message: 'no', ...none })
}

test('a guest whose agent refuses to let it go on is asked until it does', async () => {
  const { asked, ended } = await startCleanup((count) => {
    if (count < 3) throw refusal(REFUSED)
  })
  expect(await ended).toMatchObject({ state: 'completed', journal: { frozen: false } })
  expect(asked()).toBe(3)
})

test.each([
  ['domain:REBOOT', { dom }],
  ['domain:LIFECYCLE', { dom, event: VIR_DOMAIN_EVENT.STARTED, detail: VIR_DOMAIN_EVENT_STARTED.BOOTED }],
])('a guest that boots anew stands still no more, whatever its agent says (%s)', async (name, event) => {
  const { ended, listeners } = await startCleanup(() => {
    listeners.get(name)?.(event)
    throw refusal(REFUSED)
  })
  expect(await ended).toMatchObject({ state: 'completed', journal: { frozen: false } })
})

test('one that comes back from a saved state still does', async () => {
  const detail = VIR_DOMAIN_EVENT_STARTED.RESTORED
  const { asked, ended, listeners } = await startCleanup((count) => {
    listeners.get('domain:LIFECYCLE')?.({ dom, event: VIR_DOMAIN_EVENT.STARTED, detail })
    if (count === 1) throw refusal(REFUSED)
  })
  expect(await ended).toMatchObject({ state: 'completed' })
  expect(asked()).toBe(2)
})

test.each([
  ['off', VIR_ERR.OPERATION_INVALID],
  ['gone', VIR_ERR.NO_DOMAIN],
])('a VM that is %s needs nobody to let it go on', async (_, code) => {
  const { asked, ended } = await startCleanup(() => {
    throw refusal(code)
  })
  expect(await ended).toMatchObject({ state: 'completed' })
  expect(asked()).toBe(1)
})
