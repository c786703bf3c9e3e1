import type { OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import { placeOf, type CreateVmRequest, type DiskSpec } from '../core/model.ts'
import type { PoolBackend, VolumeContent } from '../storage/backend.ts'
import { contentFrom } from '../storage/volume-content.ts'
import type { DomainDeps } from './deps.ts'
import { findExistingDisk, type ExistingDisk } from './disk-origin.ts'
import { parseDomain, type DomainDisk } from './domain-info.ts'
import { domainRef, readDomainXml } from './libvirt-domain.ts'
import { writersOf } from './pool-users.ts'
import { readXml } from './read-xml.ts'

/** Labels by which a control plane says that a new VM is to be the copy of another one (contract 1.4, CloneVM). */
const SOURCE_LABEL = 'cloned-from'
const TYPE_LABEL = 'clone-type'

/** Id of the VM on whose disks a request wants overlays, if any: it must not be started between the look at it and the definition of the clone. Pure. */
export function linkedSourceId({ labels }: Pick<CreateVmRequest, 'labels'>): string | undefined {
  const vmId = labels[SOURCE_LABEL]?.toLowerCase()
  return vmId === '' || labels[TYPE_LABEL]?.toUpperCase() !== 'LINKED' ? undefined : vmId
}

/** A VM that another one is made after. */
export interface CloneSource {
  readonly vmId: string
  /** Overlays on its disks, where they are files, instead of copies. */
  readonly linked: boolean
  readonly disks: readonly DomainDisk[]
  /** What a request for a clone does not say. */
  readonly machine: Pick<CreateVmRequest['spec'], 'firmware' | 'guestOs'> & { secureBoot: boolean; tpm: boolean }
}

/**
 * The VM that a request wants a clone of: one with the labels of a clone and a disk that has neither content nor a path. VM_SPEC_INVALID when that VM is not here, because its disks would be blank then. Errors:
 * LIBVIRT_*.
 */
export async function findCloneSource(
  { labels, spec }: Pick<CreateVmRequest, 'labels' | 'spec'>,
  deps: DomainDeps,
  ctx: OpContext,
): Promise<CloneSource | undefined> {
  const vmId = labels[SOURCE_LABEL]?.toLowerCase()
  if (vmId === undefined || vmId === '' || !spec.disks.some(isBlank)) return undefined
  const known = deps.domains.entries().some(({ facts }) => facts.vmId === vmId)
  const xml = known ? await readDomainXml(deps.libvirt, domainRef(vmId), vmId, ctx.signal) : undefined
  if (xml === undefined) {
    throw new AgentError(
      'VM_SPEC_INVALID',
      `labels: ${SOURCE_LABEL} names VM ${quote(vmId)}, which this host has not; clone it where it is, or name the content of each disk`,
    )
  }
  const domain = readXml(xml)
  const os = domain.first('os')
  return {
    vmId,
    linked: labels[TYPE_LABEL]?.toUpperCase() === 'LINKED',
    disks: parseDomain(xml).disks,
    machine: {
      firmware: os?.attribute('firmware') === 'efi' || os?.first('nvram') !== undefined ? 'uefi' : 'bios',
      secureBoot: os?.first('loader')?.attribute('secure') === 'yes',
      tpm: domain.first('devices', 'tpm') !== undefined,
      guestOs: domain.first('metadata', 'lqx:vm', 'lqx:spec')?.attribute('guest-os') ?? '',
    },
  }
}

/** The request with what a clone has of its source and nobody said otherwise: firmware, TPM, guest system, buses, pools and the sizes of disks. Pure. */
export function likeSource(spec: CreateVmRequest['spec'], source: CloneSource | undefined): CreateVmRequest['spec'] {
  if (source === undefined) return spec
  const { firmware, secureBoot, tpm, guestOs } = source.machine
  return {
    ...spec,
    ...(spec.firmware === 'bios' && firmware === 'uefi' ? { firmware, secureBoot } : {}),
    ...(tpm ? { tpm } : {}),
    guestOs: spec.guestOs === '' ? guestOs : spec.guestOs,
    disks: spec.disks.map((disk, index) => {
      const like = source.disks[index]
      if (like === undefined || !isBlank(disk)) return disk
      const bus = like.bus === 'scsi' || like.bus === 'sata' ? like.bus : disk.bus
      return { ...disk, bus, poolId: disk.poolId === '' ? like.poolId : disk.poolId }
    }),
  }
}

/** What the disk of a clone begins with. */
export interface CloneOrigin {
  readonly disk: DomainDisk
  readonly linked: boolean
}

/** The disk of the source that a disk of a clone is made after, by their order; undefined for one with a content of its own, or that the source has not. */
export function cloneOrigin(disk: DiskSpec, index: number, source: CloneSource | undefined): CloneOrigin | undefined {
  const like = source?.disks[index]
  return source === undefined || like === undefined || !isBlank(disk)
    ? undefined
    : { disk: like, linked: source.linked }
}

/**
 * Finds the disk to clone and says how: an overlay for a linked clone of a file, else the cheapest independent copy that the pool makes. Errors: VOLUME_IN_USE while a running VM writes to it, those of
 * `findExistingDisk`.
 */
export async function cloneContent(
  { disk, linked }: CloneOrigin,
  pool: Pick<PoolBackend, 'config' | 'traits'>,
  format: DiskSpec['format'],
  deps: DomainDeps,
  ctx: OpContext,
): Promise<{ found: ExistingDisk; content: VolumeContent }> {
  const path = disk.path.startsWith('/') ? disk.path : disk.volume
  const found = await findExistingDisk({ ...BLANK, id: disk.id, path, poolId: disk.poolId }, deps, ctx)
  const [source] = found.layers
  const writers = await writersOf(placeOf(source), deps.domains)
  if (writers.length > 0) {
    throw new AgentError(
      'VOLUME_IN_USE',
      `disk ${disk.id} cannot be cloned: ${writers.join(', ')} runs and writes to it; stop the VM first`,
    )
  }
  const volume = { poolId: found.poolId, name: found.volume }
  if (pool.traits.access !== 'file') {
    const origin = found.volume === '' ? { source } : { source, volume }
    return { found, content: contentFrom(origin, pool, format) }
  }
  const overlay = linked && source.type === 'file' && format === 'qcow2'
  return {
    found,
    content: overlay ? { type: 'overlay', path: source.path, format: source.format } : { type: 'copy', source },
  }
}

const BLANK = {
  sizeBytes: 0,
  bus: 'virtio',
  format: 'qcow2',
  readonly: false,
  bootable: false,
  iopsLimit: 0,
  throughputMbps: 0,
  backingFile: '',
} as const

function isBlank({ path, backingFile }: DiskSpec): boolean {
  return path === '' && backingFile === ''
}
