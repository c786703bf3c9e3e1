import path from 'node:path'
import { silentLogger } from '../../../src/core/context.ts'
import { LibvirtClient } from '../../../src/libvirt/client.ts'
import { NodeClient } from '../../control-plane/node-client.ts'
import { startAgent } from '../../support/agent-process.ts'
import { until } from '../../support/until.ts'
import { median, percentile, printTable, treeUsage, verdict } from '../measure.ts'
import { timed, type DomainSection } from './section.ts'

const SIZES = [200, 1000]

/** ListVMs, GetVMStatus and `/metrics` of a real agent over libvirt's test driver, which has as many domains as wanted. */
export const listing: DomainSection = {
  name: 'listing',
  async run({ directory, socket, rounds }) {
    const client = new LibvirtClient({ uri: 'test:///default', socketPath: socket, log: silentLogger })
    await client.ready(AbortSignal.timeout(30_000))
    const agent = await startAgent({
      directory: path.join(directory, 'listing'),
      config: { hypervisor: { libvirt_uri: `test+unix:///default?socket=${socket}` }, log: { level: 'info' } },
    })
    const node = new NodeClient(agent.grpcAddress)
    const rows: string[][] = []
    try {
      let defined = 0
      for (const size of SIZES) {
        for (; defined < size; defined++)
          await client.call('remote:DOMAIN_CREATE_XML', { xml_desc: domain(defined), flags: 0 })
        const list = () => node.call<{ vms: { vmId: string }[] }>('ListVMs', {}, 60_000)
        const vmId = (
          await until(async () => {
            const { vms } = await list().catch(() => ({ vms: [] as { vmId: string }[] }))
            return vms.length >= size && vms
          })
        )[0]?.vmId
        const measure = async (
          what: string,
          work: () => Promise<unknown>,
          target?: readonly [ms: number, cpu: number],
        ) => {
          for (let i = 0; i < 5; i++) await work()
          const before = (await treeUsage(agent.pid)).cpuSeconds
          const times: number[] = []
          for (let i = 0; i < rounds; i++) times.push(await timed(work))
          const cpu = (((await treeUsage(agent.pid)).cpuSeconds - before) * 1000) / rounds
          const met = target === undefined ? undefined : median(times) < target[0] && cpu <= target[1]
          rows.push([
            `${what}, ${size} domains`,
            median(times).toFixed(1),
            percentile(times, 99).toFixed(1),
            cpu.toFixed(1),
            target === undefined ? '' : `< ${target[0]} ms, <= ${target[1]} ms CPU`,
            met === undefined ? '' : verdict(met),
          ])
        }
        await measure('ListVMs', list, size === 1000 ? [50, 10] : undefined)
        await measure('GetVMStatus', () => node.call('GetVMStatus', { vmId }))
        await measure('/metrics', async () => (await fetch(`${agent.httpUrl}/metrics`)).text())
      }
    } finally {
      node.close()
      await agent.stop()
      await client.close()
    }
    printTable(
      `lists, ms, ${rounds} each; CPU is that of the whole agent per call`,
      ['', 'median', 'p99', 'CPU', 'target', ''],
      rows,
    )
  },
}

function domain(index: number): string {
  return `<domain type='test'><name>bench-${index}</name><memory unit='MiB'>64</memory><vcpu>2</vcpu><os><type>hvm</type></os><devices>
    <disk type='file' device='disk'><source file='/var/lib/bench/${index}.img'/><target dev='vda' bus='virtio'/></disk>
    <interface type='network'><mac address='52:54:00:00:${hex(index >> 8)}:${hex(index & 255)}'/><source network='default'/></interface></devices></domain>`
}

const hex = (value: number) => value.toString(16).padStart(2, '0')
