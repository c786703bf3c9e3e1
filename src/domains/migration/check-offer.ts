import { readFile } from 'node:fs/promises'
import { formatBytes, MIB } from '../../core/bytes.ts'
import type { OpContext } from '../../core/context.ts'
import { isAgentError, toAgentError } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import type { DiskSource } from '../../core/model.ts'
import { parseMemInfo } from '../../host/memory.ts'
import { VIR_CPU_COMPARE, VIR_ERR } from '../../libvirt/constants.ts'
import { isLibvirtError, LibvirtGone, LibvirtTimeout } from '../../libvirt/errors.ts'
import { findDiskFile } from '../disk-chain.ts'
import type { DomainDeps } from '../deps.ts'
import { parseDomain } from '../domain-info.ts'
import { findIso } from '../iso-place.ts'
import { findDomain } from '../libvirt-domain.ts'
import { vmError } from '../libvirt-errors.ts'
import { parseSnapshot } from '../snapshot-info.ts'
import { requireNetwork } from '../networks.ts'
import { nicPlace } from '../nic-xml.ts'
import { readXml, type XmlElement } from '../read-xml.ts'
import type { MigrationParts } from './build-offer.ts'
import { firmwareProblem } from './check-firmware.ts'
import { isEmulator } from './guest-xml.ts'
import type { MigrationOffer, OfferedDisk } from './messages.ts'
import { judgeSnapshots } from './snapshot-problems.ts'

/** What this host makes of an offer. */
export interface Judgement {
  readonly problems: readonly string[]
  /** Disks that are here, by their name in the domain: their layers, active one first. */
  readonly present: ReadonlyMap<string, readonly [DiskSource, ...DiskSource[]]>
  /** Disks to copy. */
  readonly copy: readonly OfferedDisk[]
  /** Files in its drives that are here, and that VMs may use. */
  readonly media: ReadonlySet<string>
  /** Places (placeOf) that its snapshots may use. */
  readonly snapshotPlaces: readonly string[]
}

/** QEMU itself needs this besides the guest's memory. */
const QEMU_BYTES = 64 * MIB
const TIMEOUT_MS = 120_000
const SAFE_CACHES: ReadonlySet<string> = new Set(['none', 'directsync'])

/** Judges an offer by what is on this host now; changes nothing. Every obstacle is told, not only the first. Errors: LIBVIRT_* when libvirt cannot be asked. */
export async function judgeOffer(offer: MigrationOffer, parts: MigrationParts, ctx: OpContext): Promise<Judgement> {
  const { deps } = parts
  const xml = readXml(offer.liveXml)
  const problems: string[] = []
  const note = async (work: Promise<unknown>) => {
    try {
      const said = await work
      if (typeof said === 'string') problems.push(said)
    } catch (error) {
      ctx.signal.throwIfAborted()
      if (isLibvirtTrouble(error)) throw vmError(error, offer.vmId)
      if (isAgentError(error, 'LIBVIRT_UNAVAILABLE', 'LIBVIRT_TIMEOUT', 'LIBVIRT_OUTCOME_UNKNOWN')) throw error
      problems.push(toAgentError(error).message)
    }
  }
  if (parseDomain(offer.liveXml).vmId !== offer.vmId) problems.push('its definition is that of another VM')
  await note(isFree(offer, deps, ctx))
  await note(machine(xml, parts, ctx))
  await note(firmwareProblem(xml, parts, ctx))
  // A guest that begins anew takes the host as it is, at its next start.
  if (!offer.off) {
    await note(versions(offer, xml, parts, ctx))
    await note(cpu(offer, xml, parts, ctx))
    await note(memory(offer))
  }
  for (const nic of xml.first('devices')?.all('interface') ?? []) await note(network(nic, deps, ctx))
  const media = new Set<string>()
  const halves = [offer.liveXml, offer.configXml].map(parseDomain)
  for (const cdrom of [...halves, ...offer.snapshots.map(({ xml }) => parseSnapshot(xml).domain)].flatMap(
    (half) => half?.cdroms ?? [],
  )) {
    if (cdrom.path === '' || media.has(cdrom.path) || cdrom.path.startsWith(`${offer.directory}/`)) continue
    await note(
      findIso(cdrom.path, `CD-ROM ${cdrom.targetDev}`, [], deps, ctx).then(() => {
        media.add(cdrom.path)
      }),
    )
  }
  const present = new Map<string, readonly [DiskSource, ...DiskSource[]]>()
  const copy: OfferedDisk[] = []
  for (const disk of offer.disks) {
    await note(
      judgeDisk(disk, offer, deps, ctx).then((found) => {
        if (found === 'copy') copy.push(disk)
        else if (typeof found === 'string') return found
        else present.set(disk.target, found)
        return undefined
      }),
    )
  }
  const snapshots = await judgeSnapshots(offer, new Set(present.keys()), deps, ctx)
  return { problems: [...problems, ...snapshots.problems], present, copy, media, snapshotPlaces: snapshots.places }
}

function isLibvirtTrouble(error: unknown): boolean {
  return error instanceof LibvirtGone || error instanceof LibvirtTimeout
}

async function isFree({ vmId, name }: MigrationOffer, deps: DomainDeps, ctx: OpContext): Promise<string | undefined> {
  if ((await findDomain(deps.libvirt, vmId, ctx.signal)) !== undefined) return `a VM with its id is on the target host`
  try {
    await deps.libvirt.call('remote:DOMAIN_LOOKUP_BY_NAME', { name }, { timeoutMs: TIMEOUT_MS, signal: ctx.signal })
    return `the name ${quote(name)} belongs to another VM of the target host`
  } catch (error) {
    if (isLibvirtError(error, VIR_ERR.NO_DOMAIN)) return undefined
    throw error
  }
}

async function versions(
  { host }: MigrationOffer,
  xml: XmlElement,
  { client }: MigrationParts,
  ctx: OpContext,
): Promise<string | undefined> {
  const { hv_ver } = await client.call('remote:CONNECT_GET_VERSION', {}, { timeoutMs: TIMEOUT_MS, signal: ctx.signal })
  const here = Number(hv_ver)
  if (release(here) < release(host.qemuVersion))
    return `the target host has QEMU ${text(here)}, older than ${text(host.qemuVersion)} where the VM runs`
  if (release(client.libVersion ?? 0) < release(host.libVersion))
    return `the target host has libvirt ${text(client.libVersion ?? 0)}, older than ${text(host.libVersion)} where the VM runs`
  // An emulated CPU of the mode `maximum` is whatever that version of QEMU has.
  if (xml.first('cpu')?.attribute('mode') === 'maximum' && release(here) !== release(host.qemuVersion))
    return `its emulated CPU is that of QEMU ${text(host.qemuVersion)}, and the target host has ${text(here)}`
  return undefined
}

async function machine(xml: XmlElement, { client, deps }: MigrationParts, ctx: OpContext): Promise<string | undefined> {
  const type = xml.first('os', 'type')
  const emulator = xml.first('devices', 'emulator')?.text
  if (emulator !== undefined && !isEmulator(emulator, deps.config.emulator))
    return `its emulator ${quote(emulator)} is none that the target host knows`
  const args = {
    emulatorbin: emulator ?? null,
    arch: type?.attribute('arch') ?? null,
    machine: type?.attribute('machine') ?? null,
    virttype: xml.attribute('type') ?? null,
    flags: 0,
  }
  try {
    await client.call('remote:CONNECT_GET_DOMAIN_CAPABILITIES', args, { timeoutMs: TIMEOUT_MS, signal: ctx.signal })
    return undefined
  } catch (error) {
    if (!isLibvirtError(error)) throw error
    return `the target host cannot run a machine ${args.machine ?? ''} of type ${args.virttype ?? ''}: ${error.message}`
  }
}

async function cpu(
  { host }: MigrationOffer,
  xml: XmlElement,
  { client }: MigrationParts,
  ctx: OpContext,
): Promise<string | undefined> {
  // With emulation the CPU is QEMU's, whatever the host has.
  if (xml.attribute('type') !== 'kvm' || host.cpuXml === '') return undefined
  const { result } = await client.call(
    'remote:CONNECT_COMPARE_CPU',
    { xml: host.cpuXml, flags: 0 },
    { timeoutMs: TIMEOUT_MS, signal: ctx.signal },
  )
  if (result === VIR_CPU_COMPARE.IDENTICAL || result === VIR_CPU_COMPARE.SUPERSET) return undefined
  return `the CPU of the target host lacks features of the CPU where the VM runs`
}

async function memory({ memoryBytes }: MigrationOffer): Promise<string | undefined> {
  const { availableBytes } = parseMemInfo(await readFile('/proc/meminfo', 'utf8'))
  if (availableBytes >= memoryBytes + QEMU_BYTES) return undefined
  return `the target host has ${formatBytes(availableBytes)} of memory left, the VM needs ${formatBytes(memoryBytes + QEMU_BYTES)}`
}

async function network(nic: XmlElement, deps: DomainDeps, ctx: OpContext): Promise<undefined> {
  const target = nicPlace(nic)
  if (target !== undefined) await requireNetwork(target, deps.libvirt, ctx)
}

type DiskJudgement = string | 'copy' | readonly [DiskSource, ...DiskSource[]]

async function judgeDisk(
  disk: OfferedDisk,
  offer: MigrationOffer,
  deps: DomainDeps,
  ctx: OpContext,
): Promise<DiskJudgement> {
  const { backend, guard } = await deps.pools.require(disk.poolId, ctx)
  const volume = await backend.getVolume(disk.volume, ctx)
  const same = guard === undefined ? backend.traits.shared : guard.generation === disk.generation
  const what = `disk ${disk.target} (volume ${disk.volume} of pool ${disk.poolId})`
  if (!same) {
    if (offer.off)
      return `${what} is on storage of its host alone, and is copied only while the VM runs: start it, or move the disk to a pool that both hosts have`
    if (!offer.copyStorage) return `${what} is on storage of its host alone: ask for its storage to be copied`
    if (volume !== undefined)
      return `${what}: the pool of that name here has a volume of that name, which is another one`
    if (!backend.traits.formats.includes(disk.format))
      return `${what}: the pool here has no volumes of the format ${disk.format}`
    return 'copy'
  }
  if (volume === undefined) return `${what} is not to be seen on the target host`
  // A QEMU that has ended has left nothing in its cache: closing a file on shared storage writes it out.
  if (!offer.off && volume.source.type === 'file' && !SAFE_CACHES.has(disk.cache))
    return `${what} goes through the page cache of its host (cache ${disk.cache}), so the other host would see old content`
  if (volume.source.type !== 'file') return [volume.source]
  return (await findDiskFile(volume.source.path, volume.format, deps, ctx)).layers
}

function release(version: number): number {
  return Math.floor(version / 1_000)
}

function text(version: number): string {
  return `${Math.floor(version / 1_000_000)}.${Math.floor(version / 1_000) % 1_000}.${version % 1_000}`
}
