/**
 * Image downloads beside their named peers, in one run: `npm run bench:images [sections] [--mib=2048] [--rounds=3]`, as root. A section is a file in test/bench/images and a line below.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { arch, cpus, loadavg, release, totalmem } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { startAgent } from '../support/agent-process.ts'
import { connections } from './images/connections.ts'
import { converted } from './images/converted.ts'
import { plain } from './images/plain.ts'
import type { ImageSection } from './images/section.ts'
import { together } from './images/together.ts'
import { wrapped } from './images/wrapped.ts'

const SECTIONS: readonly ImageSection[] = [plain, ...wrapped, converted, together, connections]

const { values, positionals: wanted } = parseArgs({
  allowPositionals: true,
  options: { mib: { type: 'string', default: '2048' }, rounds: { type: 'string', default: '3' } },
})
const unknown = wanted.filter((name) => !SECTIONS.some((section) => section.name === name))
if (unknown.length > 0) {
  throw new Error(`no section ${unknown.join(', ')}; there are ${SECTIONS.map(({ name }) => name).join(', ')}`)
}
// A real disk, not a tmpfs: downloads are about durable bytes.
const directory = await mkdtemp('/var/tmp/lqx-bench-')
process.stdout.write(
  `limiquantix-node bench:images on ${cpus().length} x ${cpus()[0]?.model ?? 'unknown CPU'}, load ${(loadavg()[0] ?? 0).toFixed(1)}, ` +
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
async function runSection(section: ImageSection, home: string): Promise<void> {
  const downloads = path.join(home, 'downloads')
  await mkdir(downloads, { recursive: true })
  const agent = await startAgent({
    directory: path.join(home, 'agent'),
    config: {
      hypervisor: { libvirt_uri: 'qemu+unix:///system?socket=/nowhere/libvirt-sock' },
      downloads: { allow_private_addresses: true, allowed_dirs: [downloads], max_concurrent: 8 },
    },
  })
  try {
    const [sizeBytes, rounds] = [Number(values.mib) * 2 ** 20, Number(values.rounds)]
    await section.run({ directory: downloads, agent, sizeBytes, rounds })
  } finally {
    await agent.stop()
  }
}
