import { access, open } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { SEED_FILE } from '../../cloudinit/seed.ts'
import type { OpContext } from '../../core/context.ts'
import { AgentError } from '../../core/errors.ts'
import type { MigrationRequest } from '../../core/model.ts'
import type { LibvirtClient } from '../../libvirt/client.ts'
import { VIR_DOMAIN_XML } from '../../libvirt/constants.ts'
import { writeXml } from '../../libvirt/write-xml.ts'
import type { DomainDeps } from '../deps.ts'
import { readHalves, type DomainHalf } from '../domain-halves.ts'
import { domainRef, isOff, readDomainXml } from '../libvirt-domain.ts'
import { vmError, vmNotFound } from '../libvirt-errors.ts'
import { CONSOLE_LOG, vmDirectory } from '../names.ts'
import { readXml, toNode } from '../read-xml.ts'
import { hasSavedState } from '../saved-state.ts'
import { SEED_DIGEST_FILE } from '../seed-record.ts'
import { hasVariables } from '../snapshot-kind.ts'
import type { ConsoleMark } from './console-tail.ts'
import type { MigrationOffer, OfferedDisk, OfferedFile } from './messages.ts'
import { readJob } from './read-job.ts'
import { snapshotProblems } from './snapshot-problems.ts'
import { readSnapshotRecords } from './snapshot-metadata.ts'

/** What both ends of a migration need. */
export interface MigrationParts {
  readonly deps: DomainDeps
  readonly client: Pick<LibvirtClient, 'call' | 'ready' | 'openDedicated' | 'libVersion'>
  readonly agentId: string
}

/** Files of a VM's own directory that go with it. */
export const MOVED_FILES = [SEED_FILE, SEED_DIGEST_FILE, CONSOLE_LOG] as const

const CAPABILITIES_TIMEOUT_MS = 120_000
const compress = promisify(gzip)

/**
 * What the other host needs to know of a VM, after a look at what only this one can tell. Changes nothing. Errors: VM_NOT_FOUND, VM_NOT_MANAGED, MIGRATION_REFUSED with all
 * obstacles, POOL_*, LIBVIRT_*.
 */
export async function buildOffer(
  id: string,
  { vmId, copyStorage }: MigrationRequest,
  { deps, client, agentId }: MigrationParts,
  ctx: OpContext,
): Promise<MigrationOffer> {
  const halves = await readHalves(client, vmId, ctx.signal)
  if (!halves.config.facts.managed) {
    throw new AgentError('VM_NOT_MANAGED', `VM ${vmId} was not made by this agent, which does not move it`)
  }
  const off = isOff(halves.state)
  const half = halves.live ?? halves.config
  const snapshots = await readSnapshotRecords(vmId, client, ctx.signal)
  const problems = [
    ...deviceProblems(half),
    ...(off ? await keptHere(vmId, half, client, ctx) : []),
    ...snapshotProblems(snapshots),
    ...(await jobProblems(vmId, client, ctx)),
  ]
  const disks: OfferedDisk[] = []
  for (const disk of half.facts.disks) {
    if (disk.poolId === '' || disk.volume === '') {
      problems.push(`disk ${disk.targetDev} (${disk.path}) is in no pool, so the other host cannot know it`)
      continue
    }
    const { backend, guard } = await deps.pools.require(disk.poolId, ctx)
    const volume = await backend.getVolume(disk.volume, ctx)
    if (volume === undefined) {
      problems.push(`disk ${disk.targetDev}: pool ${disk.poolId} does not have its volume ${disk.volume} any more`)
      continue
    }
    disks.push({
      target: disk.targetDev,
      poolId: disk.poolId,
      volume: disk.volume,
      place: disk.place,
      format: volume.format,
      virtualSizeBytes: volume.virtualSizeBytes,
      generation: guard?.generation ?? '',
      cache: cacheOf(half, disk.targetDev),
    })
  }
  if (problems.length > 0) throw refused(vmId, problems)
  const whole = async (flags: number) => {
    const xml = await readDomainXml(client, domainRef(vmId), vmId, ctx.signal, flags | VIR_DOMAIN_XML.SECURE)
    if (xml === undefined) throw vmNotFound(vmId)
    return xml
  }
  const { INACTIVE, MIGRATABLE } = VIR_DOMAIN_XML
  const configXml = await whole(off ? INACTIVE : INACTIVE | MIGRATABLE)
  return {
    id,
    vmId,
    name: half.facts.name,
    off,
    liveXml: off ? configXml : await whole(MIGRATABLE),
    configXml,
    memoryBytes: half.facts.memoryBytes,
    paused: halves.state === 'PAUSED',
    copyStorage,
    disks,
    snapshots,
    directory: vmDirectory(deps.config.stateDir, vmId),
    host: { agentId, ...(await hostFacts(vmId, client, ctx)) },
  }
}

/** The VM's own small files, and how much of its console log is among them. */
export async function readFiles(directory: string): Promise<{ files: OfferedFile[]; console?: ConsoleMark }> {
  const files: OfferedFile[] = []
  let console: ConsoleMark | undefined
  for (const name of MOVED_FILES) {
    const read = await readWhole(path.join(directory, name))
    if (read === undefined) continue
    if (name === CONSOLE_LOG) console = { inode: read.inode, size: read.bytes.length }
    files.push({ name, content: (await compress(read.bytes)).toString('base64') })
  }
  return console === undefined ? { files } : { files, console }
}

// By one handle: virtlogd may put the file of that name aside at any time.
async function readWhole(file: string): Promise<{ bytes: Buffer; inode: number } | undefined> {
  try {
    const handle = await open(file)
    try {
      return { bytes: await handle.readFile(), inode: (await handle.stat()).ino }
    } finally {
      await handle.close()
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** MIGRATION_REFUSED with every obstacle. */
export function refused(vmId: string, problems: readonly string[]): AgentError {
  return new AgentError('MIGRATION_REFUSED', `VM ${vmId} cannot be moved there: ${problems.join('; ')}`)
}

function deviceProblems({ xml }: DomainHalf): string[] {
  const devices = xml.first('devices')
  const problems: string[] = []
  const passed = devices?.all('hostdev').length ?? 0
  if (passed > 0) problems.push(`${passed} device(s) of this host are passed through to it: take them out first`)
  if ((devices?.all('disk') ?? []).some((disk) => disk.first('mirror') !== undefined))
    problems.push('one of its disks is being copied: wait for the end of that')
  const direct = (devices?.all('interface') ?? []).some((nic) =>
    ['direct', 'hostdev', 'vdpa'].includes(nic.attribute('type') ?? ''),
  )
  if (direct) problems.push('it has a NIC that is a device of this host')
  return problems
}

// What QEMU takes along when the VM runs, and what only libvirt of this host has while it is off.
async function keptHere(
  vmId: string,
  half: DomainHalf,
  client: MigrationParts['client'],
  ctx: OpContext,
): Promise<string[]> {
  const problems: string[] = []
  if (hasVariables(half) && !(await isNeverStarted(half)))
    problems.push('its UEFI variables are, or may be, in a file of this host: start it, and move it while it runs')
  if (half.xml.first('devices', 'tpm') !== undefined)
    problems.push('the state of its TPM is in files of this host: start it, and move it while it runs')
  if (await hasSavedState(client, vmId, ctx.signal))
    problems.push('its memory is saved on this host: start it, which goes on from there, or drop what is saved')
  return problems
}

// Its first start makes the file. Where none is named that cannot be told.
async function isNeverStarted({ xml }: DomainHalf): Promise<boolean> {
  const nvram = xml.first('os', 'nvram')
  const file = nvram?.attribute('type') === undefined ? (nvram?.text ?? '').trim() : ''
  return path.isAbsolute(file) && !(await isThere(file))
}

async function isThere(file: string): Promise<boolean> {
  try {
    await access(file)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}

// A backup, a dump, a snapshot: libvirt does one at a time.
async function jobProblems(vmId: string, client: MigrationParts['client'], ctx: OpContext): Promise<string[]> {
  try {
    const job = await readJob(vmId, client, ctx.signal)
    return job === undefined ? [] : ['libvirt is busy with it (a backup, for instance): wait for the end of that']
  } catch (error) {
    throw vmError(error, vmId)
  }
}

function cacheOf({ xml }: DomainHalf, target: string): string {
  const disk = xml
    .first('devices')
    ?.all('disk')
    .find((one) => one.first('target')?.attribute('dev') === target)
  return disk?.first('driver')?.attribute('cache') ?? 'default'
}

async function hostFacts(vmId: string, client: MigrationParts['client'], ctx: OpContext) {
  const options = { timeoutMs: CAPABILITIES_TIMEOUT_MS, signal: ctx.signal }
  try {
    const { hv_ver } = await client.call('remote:CONNECT_GET_VERSION', {}, options)
    const { capabilities } = await client.call('remote:CONNECT_GET_CAPABILITIES', {}, options)
    const cpu = readXml(capabilities).first('host', 'cpu')
    return {
      qemuVersion: Number(hv_ver),
      libVersion: client.libVersion ?? 0,
      cpuXml: cpu === undefined ? '' : writeXml(toNode(cpu)),
    }
  } catch (error) {
    throw vmError(error, vmId)
  }
}
