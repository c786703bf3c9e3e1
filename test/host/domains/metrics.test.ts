import path from 'node:path'
import { beforeAll, describe, expect, inject, test } from 'vitest'
import type { VmMetrics } from '../../../src/core/metrics.ts'
import { vmExposition } from '../../../src/http/vm-exposition.ts'
import { until } from '../../support/until.ts'
import { liveClient, qemuPid } from '../libvirt/live.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import { newDisk, vmRequest, waitForBoot, within } from './agent-fixture.ts'
import { makeBootImage } from './boot-sector.ts'
import { useAgent } from './use-agent.ts'

const missing = await requirePrerequisite('libvirt', missingLibvirt)

describe.skipIf(missing !== undefined)('counters of real guests', () => {
  const agent = useAgent()
  const libvirtDir = inject('libvirtDir') ?? ''
  beforeAll(async () => {
    await makeBootImage(path.join(agent.base, 'images/boot.qcow2'), 'ignores')
  })

  async function startVm(name: string): Promise<string> {
    const image = path.join(agent.base, 'images/boot.qcow2')
    const nic = { id: 'lan', macAddress: '', bridge: '', network: '', model: 'virtio' as const }
    const request = vmRequest({ name }, { disks: [newDisk({ backingFile: image, sizeBytes: 0 })], nics: [nic] })
    await agent.vms.create(request, within())
    await agent.vms.start(request.vmId, within())
    await waitForBoot(agent, request.vmId)
    return request.vmId
  }
  const metricsOf = async (vmId: string): Promise<VmMetrics> => {
    const all = await agent.vms.metrics(within())
    return all.find((vm) => vm.vmId === vmId)!
  }

  test('disks and CPU of a running guest are counted under its own ids; one that is off has only its state', async () => {
    const vmId = await startVm('counted')
    const counters = await until(async () => {
      const now = (await metricsOf(vmId)).counters
      // Those of the kernel alone, while QEMU has not answered.
      return now?.devicesObservedAt ? now : undefined
    })
    expect(counters.usage.cpuTimeNs).toBeGreaterThan(0)
    expect(counters.residentBytes).toBeGreaterThan(1e6)
    const disk = counters.disks.find(({ id }) => id === 'root')
    expect(disk).toMatchObject({ device: 'vda', poolId: 'pool-1' })
    expect(disk?.readBytes).toBeGreaterThanOrEqual(512)
    expect(disk?.capacityBytes).toBe(1024 * 1024)
    await agent.vms.forceStop(vmId, within())
    expect((await metricsOf(vmId)).counters).toBeUndefined()
    expect(await metricsOf(vmId)).toMatchObject({ state: 'STOPPED' })
  })

  test('a guest whose QEMU hangs delays nobody: the others have new numbers, its own keep their time', async () => {
    const hung = await startVm('hung')
    const well = await startVm('well')
    const before = await until(async () => {
      const [one, other] = [await metricsOf(hung), await metricsOf(well)]
      return one.counters?.devicesObservedAt && other.counters?.devicesObservedAt ? one.counters : undefined
    })
    const pid = await qemuPid('hung')
    process.kill(pid, 'SIGSTOP')
    try {
      const stoppedAt = Date.now()
      const fresh = await until(async () => {
        const { counters } = await metricsOf(well)
        return counters !== undefined && counters.devicesObservedAt > stoppedAt + 3_000 && counters
      })
      expect(fresh.disks.find(({ id }) => id === 'root')?.readBytes).toBeGreaterThanOrEqual(512)
      const stuck = (await metricsOf(hung)).counters
      expect(stuck?.devicesObservedAt).toBeLessThan(fresh.devicesObservedAt)
      expect(stuck?.disks).toEqual(before.disks)
      // What needs no QEMU goes on.
      expect(stuck?.usage.observedAt).toBeGreaterThan(stoppedAt)
      // A question is not asked again and again while one waits.
      expect(agent.client.stats?.slow.inFlight).toBeLessThanOrEqual(3)
    } finally {
      process.kill(pid, 'SIGCONT')
    }
    const resumedAt = Date.now()
    await until(async () => ((await metricsOf(hung)).counters?.devicesObservedAt ?? 0) > resumedAt)
  })

  test('names of foreign domains cannot break out of a label', async () => {
    const client = await liveClient('qemu:///system', {}, libvirtDir)
    const name = 'evil&quot; } 1 \\ &lt;x&gt;'
    const xml = `<domain type='qemu'><name>${name}</name><memory unit='MiB'>32</memory><os><type>hvm</type></os></domain>`
    const { dom } = await client.call('remote:DOMAIN_DEFINE_XML_FLAGS', { xml, flags: 0 })
    try {
      const lines = await until(async () => {
        const text = vmExposition(await agent.vms.metrics(within()))
        return text.includes('evil') && text.split('\n').filter((line) => line.includes('evil'))
      })
      expect(lines).toHaveLength(2)
      for (const line of lines) expect(line).toMatch(/,name="evil\\" \} 1 \\\\ <x>"(,state="STOPPED")?\} \d$/)
    } finally {
      await client.call('remote:DOMAIN_UNDEFINE_FLAGS', { dom, flags: 0 })
      await client.close()
    }
  })
})
