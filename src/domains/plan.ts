import path from 'node:path'
import type { OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import { formatBytes } from '../core/bytes.ts'
import { quote } from '../core/ids.ts'
import {
  placeOf,
  type CdromSpec,
  type CreateVmRequest,
  type DiskFormat,
  type DiskSource,
  type DiskSpec,
} from '../core/model.ts'
import type { PoolBackend, VolumeContent, VolumeSpec } from '../storage/backend.ts'
import { contentFrom, formatIn } from '../storage/volume-content.ts'
import { bootOrderOf } from './boot-order.ts'
import { cloneContent, cloneOrigin, findCloneSource, likeSource, type CloneOrigin } from './clone-source.ts'
import type { CdromDefinition, DiskDefinition, DomainDefinition, NicDefinition } from './definition.ts'
import type { DomainDeps } from './deps.ts'
import { findBackingImage, findExistingDisk } from './disk-origin.ts'
import { chooseDomainType } from './domain-type.ts'
import { guestProfile } from './guest-profiles.ts'
import { requireHost } from './host-needs.ts'
import { findIso } from './iso-place.ts'
import { CONSOLE_LOG, diskVolumeName, vmDirectory, vmOwner } from './names.ts'
import { planNic, requireNetwork } from './networks.ts'
import { SEED_ID, topologyOf } from './vm-spec.ts'
import { SEED_FILE } from '../cloudinit/seed.ts'

/** A volume the agent is going to make. */
export interface PlannedVolume {
  readonly poolId: string
  readonly spec: VolumeSpec
  /** What it is made from was looked at for this plan. */
  readonly inspected?: boolean
}

/** A disk of the plan. How it is opened follows from its source. */
export interface PlannedDisk {
  readonly disk: Omit<DiskDefinition, 'source' | 'driver'>
  /** What is there, or the volume that is yet to be made. */
  readonly from: { readonly type: 'present'; readonly source: DiskSource } | ({ readonly type: 'new' } & PlannedVolume)
  /** Places (placeOf) of images and disks it needs that are there. */
  readonly uses: readonly string[]
}

/** Everything a VM will be, checked against the host, before anything is made. */
export interface VmPlan {
  readonly disks: readonly PlannedDisk[]
  /** The definition without its disks. */
  readonly domain: Omit<DomainDefinition, 'disks'>
}

const MEGABYTE = 1_000_000
const NO_WISHES = { vncPort: 0, spice: false, spicePort: 0 } as const

/**
 * Checks a request (from `checkRequest`) against pools, images and networks and decides every detail. Nothing is changed. Errors: POOL_*, BACKING_FILE_*,
 * HOST_LACKS_FEATURE, VOLUME_NOT_FOUND, VOLUME_IN_USE, FILE_NOT_FOUND, INVALID_PATH, NETWORK_UNKNOWN, LIBVIRT_*.
 */
export async function planVm(
  request: CreateVmRequest,
  about: { readonly specDigest: string; readonly hasSeed: boolean },
  deps: DomainDeps,
  ctx: OpContext,
): Promise<VmPlan> {
  const { vmId, name, labels } = request
  const source = await findCloneSource(request, deps, ctx)
  const spec = likeSource(request.spec, source)
  const type = await chooseDomainType(deps.config.domainType, deps.libvirt, ctx.signal)
  const { hyperv } = await requireHost({ vmId, spec }, type, deps, ctx.signal)
  const disks: PlannedDisk[] = []
  for (const [index, disk] of spec.disks.entries()) {
    disks.push(await planDisk(disk, request, deps, ctx, cloneOrigin(disk, index, source)))
  }
  refuseTwins(disks)
  const nics: NicDefinition[] = []
  for (const nic of spec.nics) {
    const planned = planNic(nic, deps.config.networks)
    await requireNetwork(planned.target, deps.libvirt, ctx)
    nics.push(planned)
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
      type,
      ...(deps.config.emulator === undefined ? {} : { emulator: deps.config.emulator }),
      topology: topologyOf(spec),
      memoryBytes: spec.memoryBytes,
      hugepages: spec.hugepages,
      firmware: spec.firmware,
      secureBoot: spec.secureBoot ?? false,
      tpm: spec.tpm ?? false,
      ...(spec.cpuModel === undefined || spec.cpuModel === '' ? {} : { cpuModel: spec.cpuModel }),
      onCrash: spec.onCrash ?? 'restart',
      ...(spec.watchdog === undefined ? {} : { watchdog: spec.watchdog }),
      console: spec.console ?? NO_WISHES,
      guest: guestProfile(spec.guestOs),
      hyperv,
      bootOrder: bootOrderOf(spec),
      nics,
      cdroms,
      consoleLogPath: path.join(directory, CONSOLE_LOG),
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

// A volume has several names: its own, its path, an alias. Written to as two disks, its content would be lost.
function refuseTwins(disks: readonly PlannedDisk[]): void {
  const places = disks.flatMap(({ from }) => (from.type === 'present' ? [placeOf(from.source)] : []))
  const twin = places.find((place, index) => places.indexOf(place) !== index)
  if (twin !== undefined) throw new AgentError('VM_SPEC_INVALID', `spec.disks: ${quote(twin)} is given twice`)
}

/** One disk of a VM, checked against pools and images. Errors as `planVm`. */
export async function planDisk(
  disk: DiskSpec,
  vm: { readonly vmId: string; readonly name: string },
  deps: DomainDeps,
  ctx: OpContext,
  clone?: CloneOrigin,
): Promise<PlannedDisk> {
  const common = {
    id: disk.id,
    bus: disk.bus,
    readonly: disk.readonly,
    bootable: disk.bootable,
    iopsLimit: disk.iopsLimit,
    bytesPerSecondLimit: disk.throughputMbps * MEGABYTE,
  }
  if (disk.path !== '') return planExistingDisk(disk, common, deps, ctx)
  const { backend } = await deps.pools.require(disk.poolId === '' ? deps.config.defaultPoolId : disk.poolId, ctx)
  const { poolId } = backend.config
  const format = formatIn(backend.traits, disk.format)
  const { layers, content, virtualSizeBytes } = await originOf(disk, clone, { backend, format }, deps, ctx)
  const spec: VolumeSpec = {
    name: diskVolumeName(vm, disk.id),
    format,
    sizeBytes: Math.max(disk.sizeBytes, virtualSizeBytes),
    content,
    owner: vmOwner(vm.vmId),
  }
  return {
    disk: {
      ...common,
      backing: content.type === 'overlay' ? layers : [],
      sizeBytes: spec.sizeBytes,
      poolId,
      volume: spec.name,
      owned: true,
    },
    from: { type: 'new', poolId, spec, inspected: true },
    uses: layers.map(placeOf),
  }
}

/** What a new disk begins with: the layers it would stand on, and how it gets their content. */
async function originOf(
  disk: DiskSpec,
  clone: CloneOrigin | undefined,
  { backend, format }: { readonly backend: PoolBackend; readonly format: DiskFormat },
  deps: DomainDeps,
  ctx: OpContext,
): Promise<{ layers: readonly DiskSource[]; content: VolumeContent; virtualSizeBytes: number }> {
  if (clone !== undefined) {
    const { found, content } = await cloneContent(clone, backend, format, deps, ctx)
    return { layers: found.layers, content, virtualSizeBytes: found.virtualSizeBytes }
  }
  const image = disk.backingFile === '' ? undefined : await findBackingImage(disk.backingFile, deps, ctx)
  return {
    layers: image === undefined ? [] : [image.source],
    content: contentFrom(image, backend, format),
    virtualSizeBytes: image?.virtualSizeBytes ?? 0,
  }
}

type CommonParts = Pick<DiskDefinition, 'id' | 'bus' | 'readonly' | 'bootable' | 'iopsLimit' | 'bytesPerSecondLimit'>

async function planExistingDisk(
  disk: DiskSpec,
  common: CommonParts,
  deps: DomainDeps,
  ctx: OpContext,
): Promise<PlannedDisk> {
  const { layers, virtualSizeBytes, poolId, volume } = await findExistingDisk(disk, deps, ctx)
  if (disk.sizeBytes > virtualSizeBytes) {
    throw new AgentError(
      'VM_SPEC_INVALID',
      `disk ${disk.id}: ${quote(disk.path)} has ${formatBytes(virtualSizeBytes)}, less than the ${formatBytes(disk.sizeBytes)} asked for; resize it first`,
    )
  }
  const [source, ...backing] = layers
  return {
    disk: { ...common, backing, sizeBytes: virtualSizeBytes, poolId, volume, owned: false },
    from: { type: 'present', source },
    uses: layers.map(placeOf),
  }
}

async function planCdrom(
  { id, bootable, isoPath }: CdromSpec,
  disks: readonly DiskSpec[],
  deps: DomainDeps,
  ctx: OpContext,
): Promise<CdromDefinition> {
  if (isoPath === '') return { id, path: '', bootable, role: 'user' }
  const poolIds = disks.map((disk) => (disk.poolId === '' ? deps.config.defaultPoolId : disk.poolId))
  return { id, path: await findIso(isoPath, `CD-ROM ${id}`, poolIds, deps, ctx), bootable, role: 'user' }
}
