import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { isUuid } from '../../../src/core/ids.ts'
import { createInventory } from '../../../src/host/inventory.ts'
import { loadAgentId } from '../../../src/host/node-identity.ts'
import { startTelemetry } from '../../../src/host/telemetry.ts'
import { openStateStore } from '../../../src/platform/state-store.ts'
import { createHostService } from '../../../src/services/host-service.ts'
import { withTree } from './tree.ts'

const never = new AbortController().signal

describe('the inventory of this host', () => {
  it('agrees with what Node sees', async () => {
    const facts = await createInventory({ managementIp: '127.0.0.1' }).read(never)
    expect(facts).toMatchObject({ hostname: os.hostname(), kernelVersion: os.release(), managementIp: '127.0.0.1' })
    expect(facts.memory.totalBytes).toBe(os.totalmem())
    expect(facts.cpu.totalThreads).toBe(os.cpus().length)
    expect(facts.cpu.model).toBe(os.cpus()[0]?.model.trim())
    const { sockets, coresPerSocket, threadsPerCore, totalThreads } = facts.cpu
    expect(sockets * coresPerSocket * threadsPerCore).toBeGreaterThanOrEqual(totalThreads)
    const external = Object.entries(os.networkInterfaces()).filter(([, list]) => list?.some((a) => !a.internal))
    for (const [name] of external) expect(facts.nics.map((nic) => nic.name)).toContain(name)
  })

  it('reads once for callers at the same time, and a caller that leaves does not disturb the others', async () => {
    const inventory = createInventory()
    const leaving = new AbortController()
    const first = inventory.read(leaving.signal)
    const second = inventory.read(never)
    leaving.abort(new Error('left'))
    await expect(first).rejects.toThrow('left')
    expect(await inventory.read(never)).toBe(await second)
  })

  it('takes the configured host name', async () => {
    expect((await createInventory({ hostname: 'hv-7' }).read(never)).hostname).toBe('hv-7')
  })

  it('refuses a configured management address at start', () => {
    expect(() => createInventory({ managementIp: 'nonsense' })).toThrow(
      expect.objectContaining({ reason: 'CONFIG_INVALID' }),
    )
  })
})

describe('the telemetry', () => {
  const stat = (busy: number, idle: number) => `cpu  ${busy} 0 0 ${idle} 0 0 0 0 0 0\n`
  const proc = { 'proc/meminfo': 'MemTotal: 1000 kB\nMemAvailable: 400 kB\n', 'proc/loadavg': '1.00 2.00 3.00 1/1 1\n' }

  it('samples at most every 2 s and measures between samples', async () => {
    await withTree({ ...proc, 'proc/stat': stat(100, 900) }, async (root) => {
      let now = 0
      const telemetry = startTelemetry({ log: silentLogger, proc: `${root}/proc`, now: () => now, periodMs: 1e9 })
      try {
        const first = await telemetry.refresh()
        expect(first).toMatchObject({ cpuUsagePercent: 10, memoryUsedBytes: 600 * 1024, load1: 1, load5: 2, load15: 3 })
        await import('node:fs/promises').then((fs) => fs.writeFile(`${root}/proc/stat`, stat(190, 910)))
        now = 1_999
        expect(await telemetry.refresh()).toBe(first)
        now = 2_000
        expect((await telemetry.refresh()).cpuUsagePercent).toBe(90)
        expect(telemetry.load().cpuUsagePercent).toBe(90)
      } finally {
        telemetry.stop()
      }
    })
  })

  it('keeps the last sample when the kernel cannot be read', async () => {
    const telemetry = startTelemetry({ log: silentLogger, proc: '/nonexistent' })
    expect(await telemetry.refresh()).toMatchObject({ observedAt: 0, memoryTotalBytes: 0 })
    telemetry.stop()
  })

  it('tells this host', async () => {
    const telemetry = startTelemetry({ log: silentLogger })
    const load = await telemetry.refresh()
    telemetry.stop()
    expect(load.memoryTotalBytes).toBe(os.totalmem())
    expect(load.cpuUsagePercent).toBeGreaterThan(0)
    expect(load.observedAt).toBeGreaterThan(0)
  })
})

describe('the agent id', () => {
  let directory: string
  beforeEach(async () => {
    directory = await mkdtemp(path.join(os.tmpdir(), 'lqx-id-'))
  })
  afterEach(() => rm(directory, { recursive: true }))

  it('is made once and survives a restart', async () => {
    const first = await loadAgentId(openStateStore(directory, silentLogger))
    expect(isUuid(first)).toBe(true)
    expect(await loadAgentId(openStateStore(directory, silentLogger))).toBe(first)
  })

  it('is the configured one when there is one', async () => {
    const store = openStateStore(directory, silentLogger)
    expect(await loadAgentId(store, 'rack7-hv2')).toBe('rack7-hv2')
    await expect(loadAgentId(store, '../x')).rejects.toMatchObject({ reason: 'INVALID_NAME' })
  })
})

describe('the host service', () => {
  it('answers health from memory', () => {
    let connected = false
    let waiting = ['recovery']
    const service = createHostService({
      version: '1.2.3',
      agentId: 'agent-1',
      inventory: createInventory(),
      io: { read: () => Promise.reject(new Error('not asked')) },
      telemetry: { load: () => ({}) as never },
      hypervisor: () => ({ connected, version: '9.0.0', qemuVersion: '7.2.0', maxVcpus: 16, kvm: false }),
      controlPlane: () => undefined,
      waitingFor: () => waiting,
    })
    expect(service.health()).toEqual({
      healthy: false,
      version: '1.2.3',
      hypervisor: 'libvirt/QEMU',
      hypervisorVersion: '9.0.0',
      uptimeSeconds: 0,
    })
    expect(service.readiness()).toEqual({ ready: false, waitingFor: ['recovery'] })
    connected = true
    waiting = []
    expect(service.health().healthy).toBe(true)
    expect(service.readiness().ready).toBe(true)
    expect(service.hypervisor()).toMatchObject({ name: 'libvirt/QEMU', qemuVersion: '7.2.0' })
    expect(service.nodeId()).toBe('agent-1')
  })
})
