/**
 * Storage beside its named peers, in one run: `npm run bench:storage`, as root. Names of sections as arguments run only these. A section is a file in test/bench/storage
 * and a line below.
 */
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { arch, cpus, loadavg, release, totalmem } from 'node:os'
import path from 'node:path'
import { NodeClient } from '../control-plane/node-client.ts'
import { startAgent } from '../support/agent-process.ts'
import { listing } from './storage/listing.ts'
import { lvm } from './storage/lvm.ts'
import { outage } from './storage/outage.ts'
import { probing } from './storage/probing.ts'
import { rbd } from './storage/rbd.ts'
import type { StorageSection } from './storage/section.ts'
import { volumes } from './storage/volumes.ts'

const SECTIONS: readonly StorageSection[] = [listing, probing, volumes, rbd, lvm, outage]

const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !SECTIONS.some((section) => section.name === name))
if (unknown.length > 0) {
  throw new Error(`no section ${unknown.join(', ')}; there are ${SECTIONS.map(({ name }) => name).join(', ')}`)
}
// A real disk, not a tmpfs.
const directory = await mkdtemp('/var/tmp/lqx-bench-')
await chmod(directory, 0o711)
const load = loadavg()[0] ?? 0
process.stdout.write(
  `limiquantix-node bench:storage on ${cpus().length} x ${cpus()[0]?.model ?? 'unknown CPU'}, load ${load.toFixed(1)}, ` +
    `${(totalmem() / 2 ** 30).toFixed(0)} GiB, Linux ${release()} ${arch()}, Node ${process.version}\n`,
)
try {
  for (const section of SECTIONS.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
    const missing = await section.missing?.()
    if (missing === undefined) await runSection(section, path.join(directory, section.name))
    else process.stdout.write(`\n${section.name}: not run: ${missing}\n`)
  }
} finally {
  await rm(directory, { recursive: true, force: true })
}

// An agent of its own: no section sees what another one left in memory.
async function runSection(section: StorageSection, home: string): Promise<void> {
  await mkdir(home, { mode: 0o711 })
  const agent = await startAgent({
    directory: path.join(home, 'agent'),
    config: { hypervisor: { libvirt_uri: 'qemu+unix:///system?socket=/nowhere/libvirt-sock' }, log: { level: 'info' } },
  })
  const node = new NodeClient(agent.grpcAddress)
  try {
    const localPool = async (poolId: string, place: string) => {
      const config = { local: { path: place } }
      await node.call('InitStoragePool', { poolId, type: 'STORAGE_POOL_TYPE_LOCAL_DIR', config })
    }
    await section.run({ directory: home, agent, node, localPool })
  } finally {
    node.close()
    await agent.stop()
  }
}
