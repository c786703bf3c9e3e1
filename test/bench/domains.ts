/**
 * VMs beside their named peers, in one run: `npm run bench:domains`, as root. Names of sections as arguments run only these. ROUNDS and GUESTS in the environment change the length. A section is a file in
 * test/bench/domains and a line below.
 */
import { execFile } from 'node:child_process'
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { arch, cpus, loadavg, release, totalmem } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { events } from './domains/events.ts'
import { guests } from './domains/guests.ts'
import { listing } from './domains/listing.ts'
import type { DomainSection } from './domains/section.ts'

const exec = promisify(execFile)
const SECTIONS: readonly DomainSection[] = [listing, events, guests]

const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !SECTIONS.some((section) => section.name === name))
if (unknown.length > 0) {
  throw new Error(`no section ${unknown.join(', ')}; there are ${SECTIONS.map(({ name }) => name).join(', ')}`)
}
// A real disk, not a tmpfs.
const directory = await mkdtemp('/var/tmp/lqx-bench-')
await chmod(directory, 0o711)
const libvirtHost = path.join(import.meta.dirname, '../../scripts/libvirt-host')
process.stdout.write(
  `limiquantix-node bench:domains on ${cpus().length} x ${cpus()[0]?.model ?? 'unknown CPU'}, load ${(loadavg()[0] ?? 0).toFixed(1)}, ` +
    `${(totalmem() / 2 ** 30).toFixed(0)} GiB, Linux ${release()} ${arch()}, Node ${process.version}\n`,
)
try {
  for (const section of SECTIONS.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
    const home = path.join(directory, section.name)
    const libvirt = path.join(directory, `${section.name}-libvirt`)
    for (const each of [home, libvirt]) await mkdir(each, { mode: 0o711 })
    await exec(libvirtHost, ['up', libvirt, '--domain-type', 'qemu'])
    try {
      await section.run({
        directory: home,
        socket: path.join(libvirt, 'run/libvirt-sock'),
        rounds: Number(process.env['ROUNDS'] ?? 50),
        guests: Number(process.env['GUESTS'] ?? 20),
      })
    } finally {
      await exec(libvirtHost, ['down', libvirt])
    }
  }
} finally {
  await rm(directory, { recursive: true, force: true })
}
