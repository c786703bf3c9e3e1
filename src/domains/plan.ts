import path from 'node:path'
import type { OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import type { CdromSpec, CreateVmRequest, DiskSpec } from '../core/model.ts'
import { splitRelative } from '../platform/files.ts'
import { readMounts, type MountEntry } from '../platform/mounts.ts'
import type { VolumeSpec } from '../storage/backend.ts'
import type { ActivePool } from '../storage/pool-access.ts'
import { bootOrderOf } from './boot-order.ts'
import type { CdromDefinition, DiskDefinition, DomainDefinition, NicDefinition } from './definition.ts'
import type { DomainDeps } from './deps.ts'
import { findBackingImage, findExistingDisk, lookAt } from './disk-chain.ts'
import { diskIoFor } from './disk-io.ts'
import { chooseDomainType } from './domain-type.ts'
import { diskVolumeName, vmDirectory, vmOwner } from './names.ts'
import { nicTarget, requireNetwork } from './networks.ts'
import { SEED_ID, topologyOf } from './vm-spec.ts'
import { SEED_FILE } from '../cloudinit/seed.ts'

/** A volume the agent is going to make. */
export interface PlannedVolume {
  readonly poolId: string
  readonly spec: VolumeSpec
}

/** A disk of the plan; the path of one that is yet to be made is known when its volume is there. */
export interface PlannedDisk {
  readonly disk: DiskDefinition
  readonly volume: PlannedVolume | undefined
}

/** Everything a VM will be, checked against the host, before anything is made. */
export interface VmPlan {
  readonly disks: readonly PlannedDisk[]
  /** The definition without its disks. */
  readonly domain: Omit<DomainDefinition, 'disks'>
}

const MEGABYTE = 1_000_000

/**
 * Checks a request (from `checkRequest`) against pools, images and networks and decides every detail. Nothing is changed. Errors: POOL_*, BACKING_FILE_*,
 * VOLUME_NOT_FOUND, VOLUME_TOO_SMALL, FILE_NOT_FOUND, INVALID_PATH, NETWORK_UNKNOWN, LIBVIRT_*.
 */
export async function planVm(
  request: CreateVmRequest,
  about: { readonly specDigest: string; readonly hasSeed: boolean },
  deps: DomainDeps,
  ctx: OpContext,
): Promise<VmPlan> {
  const { vmId, name, spec, labels } = request
  const mounts = await readMounts()
  const disks: PlannedDisk[] = []
  for (const disk of spec.disks) disks.push(await planDisk(disk, request, mounts, deps, ctx))
  const nics: NicDefinition[] = []
  for (const { id, macAddress, model, ...nic } of spec.nics) {
    const target = nicTarget(nic, deps.config.networks)
    await requireNetwork(target, deps.libvirt, ctx)
    nics.push({ id, macAddress, model, target })
  }
  const cdroms: CdromDefinition[] = []
  for (const cdrom of spec.cdroms) cdroms.push(await planCdrom(cdrom, spec.disks, deps, ctx))
  const directory = vmDirectory(deps.config.stateDir, vmId)
  if (about.hasSeed) cdroms.push({ id: SEED_ID, path: path.join(directory, SEED_FILE), bootable: false, role: 'seed' })
  return {
    disks,
    domain: {
      vmId,
      name,
      type: await chooseDomainType(deps.config.domainType, deps.libvirt, ctx.signal),
      ...(deps.config.emulator === undefined ? {} : { emulator: deps.config.emulator }),
      topology: topologyOf(spec),
      memoryBytes: spec.memoryBytes,
      hugepages: spec.hugepages,
      firmware: spec.firmware,
      guestFamily: spec.guestOs.startsWith('windows') ? 'windows' : 'generic',
      bootOrder: bootOrderOf(spec),
      nics,
      cdroms,
      consoleLogPath: path.join(directory, 'console.log'),
      tbCacheBytes: deps.config.tbCacheBytes,
      metadata: {
        agentVersion: deps.config.agentVersion,
        createdAt: new Date().toISOString(),
        specDigest: about.specDigest,
        guestOs: spec.guestOs,
        labels,
      },
    },
  }
}

async function planDisk(
  disk: DiskSpec,
  vm: { readonly vmId: string; readonly name: string },
  mounts: readonly MountEntry[],
  deps: DomainDeps,
  ctx: OpContext,
): Promise<PlannedDisk> {
  const common = {
    id: disk.id,
    bus: disk.bus,
    readonly: disk.readonly,
    bootable: disk.bootable,
    iopsLimit: disk.iopsLimit,
    bytesPerSecondLimit: disk.throughputMbps * MEGABYTE,
  }
  if (disk.path !== '') return planExistingDisk(disk, common, mounts, deps, ctx)
  const pool = await deps.pools.require(disk.poolId === '' ? deps.config.defaultPoolId : disk.poolId, ctx)
  requireFilePool(pool, disk)
  const image = disk.backingFile === '' ? undefined : await findBackingImage(disk.backingFile, deps, ctx)
  const [base] = image?.layers ?? []
  const sizeBytes = Math.max(disk.sizeBytes, image?.virtualSizeBytes ?? 0)
  const spec: VolumeSpec = {
    name: diskVolumeName(vm, disk.id),
    format: disk.format,
    sizeBytes,
    content: base === undefined ? { type: 'empty' } : { type: 'overlay', path: base.path, format: base.format },
    owner: vmOwner(vm.vmId),
  }
  return {
    volume: { poolId: pool.config.poolId, spec },
    disk: {
      ...common,
      type: 'file',
      path: '',
      format: disk.format,
      backing: image?.layers ?? [],
      driver: diskIoFor(pool.backend.mountPath, mounts),
      sizeBytes,
      poolId: pool.config.poolId,
      volume: spec.name,
      owned: true,
    },
  }
}

type CommonParts = Pick<DiskDefinition, 'id' | 'bus' | 'readonly' | 'bootable' | 'iopsLimit' | 'bytesPerSecondLimit'>

async function planExistingDisk(
  disk: DiskSpec,
  common: CommonParts,
  mounts: readonly MountEntry[],
  deps: DomainDeps,
  ctx: OpContext,
): Promise<PlannedDisk> {
  const volume = disk.path.startsWith('/') ? undefined : await requireVolume(disk, deps, ctx)
  const file = volume?.source.type === 'file' ? volume.source.path : disk.path
  const found = await findExistingDisk(file, volume?.format, deps, ctx)
  if (disk.sizeBytes > found.virtualSizeBytes) {
    throw new AgentError(
      'VM_SPEC_INVALID',
      `disk ${disk.id}: ${quote(file)} has ${found.virtualSizeBytes} bytes, less than the ${disk.sizeBytes} asked for; resize it first`,
    )
  }
  const [active, ...backing] = found.layers
  return {
    volume: undefined,
    disk: {
      ...common,
      ...active,
      backing,
      driver: diskIoFor(file, mounts),
      sizeBytes: found.virtualSizeBytes,
      poolId: volume?.poolId ?? deps.pools.findByPath(file)?.config.poolId ?? '',
      volume: volume?.name ?? '',
      owned: false,
    },
  }
}

async function requireVolume(disk: DiskSpec, deps: DomainDeps, ctx: OpContext) {
  const pool = await deps.pools.require(disk.poolId === '' ? deps.config.defaultPoolId : disk.poolId, ctx)
  requireFilePool(pool, disk)
  const volume = await pool.backend.getVolume(disk.path, ctx)
  if (volume !== undefined) return volume
  throw new AgentError(
    'VOLUME_NOT_FOUND',
    `disk ${disk.id}: volume ${quote(disk.path)} is missing in pool ${pool.config.poolId}`,
  )
}

function requireFilePool(pool: ActivePool, disk: DiskSpec): void {
  if (pool.backend.traits.access === 'file') return
  throw new AgentError(
    'POOL_TYPE_UNSUPPORTED',
    `disk ${disk.id}: pool ${pool.config.poolId} is of type ${pool.config.kind}, on which this version makes no VM disks`,
  )
}

async function planCdrom(
  cdrom: CdromSpec,
  disks: readonly DiskSpec[],
  deps: DomainDeps,
  ctx: OpContext,
): Promise<CdromDefinition> {
  const { id, bootable, isoPath } = cdrom
  if (isoPath === '') return { id, path: '', bootable, role: 'user' }
  const candidates = isoPath.startsWith('/') ? [isoPath] : await isoCandidates(isoPath, disks, deps, ctx)
  for (const file of candidates) {
    if ((await lookAt(file, `CD-ROM ${id}`, deps, ctx)) === 'file') return { id, path: file, bootable, role: 'user' }
  }
  throw new AgentError('FILE_NOT_FOUND', `CD-ROM ${id}: the ISO ${quote(isoPath)} is missing on this host`)
}

// Contract 4.2: relative ISO paths, such as `iso/<file>`, are below a pool or a directory of images; here the pools of the VM's own disks.
async function isoCandidates(
  isoPath: string,
  disks: readonly DiskSpec[],
  deps: DomainDeps,
  ctx: OpContext,
): Promise<string[]> {
  const parts = splitRelative(isoPath)
  const poolIds = new Set(disks.map((disk) => (disk.poolId === '' ? deps.config.defaultPoolId : disk.poolId)))
  const roots: string[] = []
  for (const poolId of poolIds) {
    const pool = await deps.pools.require(poolId, ctx)
    if (pool.backend.mountPath !== '') roots.push(pool.backend.mountPath)
  }
  const file = parts.at(-1) ?? ''
  return [...roots, ...deps.config.imageRoots].flatMap((root) => [
    path.join(root, ...parts),
    path.join(root, 'iso', file),
    path.join(root, file),
  ])
}
