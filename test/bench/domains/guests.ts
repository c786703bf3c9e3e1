import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { silentLogger } from '../../../src/core/context.ts'
import type { VmMetrics } from '../../../src/core/metrics.ts'
import { parseDomain } from '../../../src/domains/domain-info.ts'
import { DomainStats } from '../../../src/domains/domain-stats.ts'
import type { LibvirtCalls } from '../../../src/domains/libvirt-domain.ts'
import { vmCounters } from '../../../src/domains/usage.ts'
import { vmExposition } from '../../../src/http/vm-exposition.ts'
import { LibvirtClient } from '../../../src/libvirt/client.ts'
import { VIR_DOMAIN_STATS } from '../../../src/libvirt/constants.ts'
import { uuidBytes } from '../../../src/libvirt/uuid.ts'
import { d_remote_connect_get_all_domain_stats_ret } from '../../../src/libvirt/wire/remote-codec.gen.ts'
import { e_remote_connect_get_all_domain_stats_ret } from '../../../src/libvirt/wire/remote-peer.gen.ts'
import { XdrReader } from '../../../src/libvirt/xdr-reader.ts'
import { XdrWriter } from '../../../src/libvirt/xdr-writer.ts'
import { NodeClient } from '../../control-plane/node-client.ts'
import { makeBootImage } from '../../host/domains/boot-sector.ts'
import { startAgent } from '../../support/agent-process.ts'
import { until } from '../../support/until.ts'
import { median, printTable, verdict } from '../measure.ts'
import { cpuMs, timed, type DomainBench, type DomainSection } from './section.ts'

const exec = promisify(execFile)
const POOL = 'bench'
const MANY = 200
/** What the agent asks for. */
const GROUPS =
  VIR_DOMAIN_STATS.CPU_TOTAL | VIR_DOMAIN_STATS.INTERFACE | VIR_DOMAIN_STATS.BALLOON | VIR_DOMAIN_STATS.BLOCK

/** Real guests under emulation: create to running beside qemu-img and virsh, then what it costs to collect the counters of those that run. */
export const guests: DomainSection = {
  name: 'guests',
  async run(bench) {
    const { directory, socket } = bench
    const pool = path.join(directory, 'pool')
    const image = path.join(pool, 'boot.qcow2')
    await mkdir(pool, { mode: 0o711 })
    await makeBootImage(image, 'ignores')
    const uri = `qemu+unix:///system?socket=${socket}`
    const agent = await startAgent({
      directory: path.join(directory, 'guests'),
      config: { hypervisor: { libvirt_uri: uri, domain_type: 'qemu', networks: { default: 'user' } } },
    })
    const node = new NodeClient(agent.grpcAddress)
    const vmIds: string[] = []
    try {
      await until(async () => (await node.call<{ healthy: boolean }>('HealthCheck', {})).healthy)
      await node.call('InitStoragePool', {
        poolId: POOL,
        type: 'STORAGE_POOL_TYPE_LOCAL_DIR',
        config: { local: { path: pool } },
      })
      await createToRunning(bench, { node, uri, image, vmIds })
      for (const vmId of vmIds) await node.call('StartVM', { vmId }, 120_000)
      await collection(bench, uri)
    } finally {
      for (const vmId of vmIds) await node.call('DeleteVM', { vmId }, 120_000).catch(() => undefined)
      node.close()
      await agent.stop()
    }
  },
}

interface Makers {
  readonly node: NodeClient
  readonly uri: string
  readonly image: string
  /** The VMs that are there afterwards. */
  readonly vmIds: string[]
}

async function createToRunning(bench: DomainBench, { node, uri, image, vmIds }: Makers): Promise<void> {
  const script = await peerScript(bench, uri, image)
  const ours: number[] = []
  const theirs: number[] = []
  for (let index = 0; index < bench.guests; index++) {
    const [vmId, peer] = [randomUUID(), randomUUID()]
    vmIds.push(vmId)
    ours.push(
      await timed(async () => {
        await node.call('CreateVM', request(vmId, `bench-${index}`, image), 120_000)
        await node.call('StartVM', { vmId }, 120_000)
      }),
    )
    // One guest at a time: what runs already would slow down the next.
    await node.call('ForceStopVM', { vmId }, 120_000)
    theirs.push(await timed(() => exec(script, [peer, `peer-${index}`])))
    await exec('virsh', ['-q', '-c', uri, 'destroy', peer])
    await exec('virsh', ['-q', '-c', uri, 'undefine', peer])
  }
  const ratio = median(ours) / median(theirs)
  const row = (name: string, times: number[], ...rest: string[]) => [
    name,
    median(times).toFixed(0),
    Math.max(...times).toFixed(0),
    ...rest,
  ]
  printTable(
    `create to running, ms, ${bench.guests} each, interleaved`,
    ['', 'median', 'max', 'ratio', 'target', ''],
    [
      row('qemu-img create + virsh define + virsh start', theirs, '1.00', '', ''),
      row('limiquantix-node CreateVM + StartVM', ours, ratio.toFixed(2), '<= 1.10', verdict(ratio <= 1.1)),
    ],
  )
}

// In this process, so that its CPU time is its own. What 200 guests cost is measured on the answer of those that run, repeated: its bytes are decoded like those of a socket.
async function collection({ socket, rounds }: DomainBench, uri: string): Promise<void> {
  const client = new LibvirtClient({ uri: 'qemu:///system', socketPath: socket, log: silentLogger })
  await client.ready(AbortSignal.timeout(30_000))
  const calls: LibvirtCalls = client
  const waited: number[] = []
  const peer: number[] = []
  const once = async () => (await new DomainStats(calls).read()).size
  const running = await once()
  for (let round = 0; round < Math.min(rounds, 20); round++) {
    waited.push(await timed(once))
    peer.push(await timed(() => exec('virsh', ['-q', '-c', uri, 'domstats', '--nowait'], { maxBuffer: 64 * 2 ** 20 })))
  }
  const answer = await client.call('remote:CONNECT_GET_ALL_DOMAIN_STATS', { doms: [], stats: GROUPS, flags: 1 })
  const { domains } = await client.call('remote:CONNECT_LIST_ALL_DOMAINS', { need_results: 1, flags: 1 })
  const [dom] = domains
  if (dom === undefined) throw new Error('no guest runs')
  const facts = parseDomain((await client.call('remote:DOMAIN_GET_XML_DESC', { dom, flags: 0 })).xml)
  await client.close()

  const retStats = Array.from({ length: MANY }, (_, index) => {
    const record = answer.retStats[index % answer.retStats.length] ?? { dom, params: [] }
    return { ...record, dom: { ...record.dom, uuid: uuidBytes(randomUUID()) } }
  })
  const writer = new XdrWriter()
  e_remote_connect_get_all_domain_stats_ret(writer, { retStats })
  const bytes = Buffer.from(writer.written())
  const decoding = {
    call: () => Promise.resolve(d_remote_connect_get_all_domain_stats_ret(new XdrReader(bytes))),
  } as unknown as LibvirtCalls
  const read: number[] = []
  const page: number[] = []
  for (let round = 0; round < rounds; round++) {
    let vms: VmMetrics[] = []
    read.push(
      await cpuMs(async () => {
        const samples = await new DomainStats(decoding).read()
        vms = [...samples].map(([vmId, sample]) => ({
          vmId,
          name: 'bench',
          state: 'RUNNING',
          vcpus: 1,
          counters: vmCounters(sample, facts),
        }))
      }),
    )
    page.push(await cpuMs(() => Promise.resolve(vmExposition(vms))))
  }
  printTable(
    `counters: ${running} running guests, ${waited.length} collections; CPU for ${MANY} (${(bytes.length / 1024).toFixed(0)} KiB), ${rounds} times`,
    ['', 'median ms', 'max', 'target', ''],
    [
      ['virsh domstats (a process)', median(peer).toFixed(1), Math.max(...peer).toFixed(1), '', ''],
      ['one collection of libvirt', median(waited).toFixed(1), Math.max(...waited).toFixed(1), '', ''],
      [`CPU: decode and count ${MANY}`, median(read).toFixed(1), Math.max(...read).toFixed(1), '', ''],
      [`CPU: their part of /metrics`, median(page).toFixed(1), Math.max(...page).toFixed(1), '', ''],
      verdictRow(median(read) + median(page)),
    ],
  )
}

function verdictRow(total: number): string[] {
  return ['CPU together', total.toFixed(1), '', '<= 30', verdict(total <= 30)]
}

function request(vmId: string, name: string, image: string): object {
  return {
    vmId,
    name,
    spec: {
      cpuCores: 1,
      memoryMib: 64,
      disks: [{ id: 'root', backingFile: image, poolId: POOL }],
      nics: [{ id: 'lan', network: 'default' }],
    },
  }
}

async function peerScript({ directory }: DomainBench, uri: string, image: string): Promise<string> {
  const file = path.join(directory, 'peer.sh')
  const own = path.join(directory, 'peer')
  await mkdir(own, { mode: 0o711 })
  await writeFile(
    file,
    `#!/bin/sh
# usage: peer.sh UUID NAME
set -e
dir='${own}'/$2; mkdir -p "$dir"
qemu-img create -q -f qcow2 -b '${image}' -F qcow2 "$dir/root.qcow2"
cat > "$dir/domain.xml" <<X
<domain type='qemu'><name>$2</name><uuid>$1</uuid><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/><apic/></features>
<devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$dir/root.qcow2'/><target dev='vda' bus='virtio'/></disk>
<interface type='user'><model type='virtio'/></interface><serial type='pty'/><graphics type='vnc' listen='127.0.0.1'/>
<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel><rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
</devices></domain>
X
virsh -q -c '${uri}' define "$dir/domain.xml" > /dev/null
virsh -q -c '${uri}' start "$1" > /dev/null
`,
  )
  await chmod(file, 0o755)
  return file
}
