import { chmod, mkdir } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { placeSeed, SEED_FILE } from '../../cloudinit/seed.ts'
import type { OpContext } from '../../core/context.ts'
import { AgentError } from '../../core/errors.ts'
import { placeOf, type DiskSource } from '../../core/model.ts'
import { writeFileAtomic } from '../../platform/files.ts'
import { makeVolume } from '../make-volume.ts'
import { vmDirectory, vmOwner } from '../names.ts'
import { MOVED_FILES, type MigrationParts } from './build-offer.ts'
import type { Judgement } from './check-offer.ts'
import type { GuestLimits } from './guest-xml.ts'
import type { MigrationOffer, OfferedFile, OpenedMigration } from './messages.ts'
import { rewriteForTarget } from './rewrite-xml.ts'
import type { SnapshotRecord } from './snapshot-metadata.ts'

const MAX_FILE_BYTES = 16 * 1024 * 1024
const decompress = promisify(gunzip)

/** Makes what a VM needs to come here, volumes for copies and its own files, and tells what it will be. Idempotent. Errors: POOL_*, those of createVolume, INVALID_REQUEST. */
export async function makeRoom(
  offer: MigrationOffer,
  files: readonly OfferedFile[],
  judgement: Judgement,
  { deps }: MigrationParts,
  ctx: OpContext,
): Promise<{
  opened: OpenedMigration
  disks: readonly string[]
  limits: GuestLimits
  /** Those of its snapshots, which may use more. */
  snapshotLimits: GuestLimits
  snapshots: readonly SnapshotRecord[]
}> {
  const { vmId } = offer
  const layers = new Map<string, readonly [DiskSource, ...DiskSource[]]>(judgement.present)
  for (const { target, poolId, volume, format, virtualSizeBytes } of judgement.copy) {
    const spec = {
      name: volume,
      format,
      sizeBytes: virtualSizeBytes,
      content: { type: 'empty' },
      owner: vmOwner(vmId),
    } as const
    const made = await makeVolume(
      { poolId, spec },
      { what: `disk ${target}`, purpose: `migration of VM ${vmId}` },
      deps,
      ctx,
    )
    layers.set(target, [made.source])
  }
  const directory = vmDirectory(deps.config.stateDir, vmId)
  await mkdir(directory, { recursive: true, mode: 0o711 })
  await chmod(directory, 0o711)
  for (const file of files) await placeFile(directory, file)
  const places = { directory: { from: offer.directory, to: directory }, disks: layers }
  const copy = judgement.copy.map(({ target }) => target)
  const opened = {
    liveXml: rewriteForTarget(offer.liveXml, places),
    configXml: rewriteForTarget(offer.configXml, places),
    copy,
  }
  const limits = {
    vmId,
    name: offer.name,
    places: new Set([...judgement.media, ...[...layers.values()].flat().map(placeOf)]),
    directory,
    emulator: deps.config.emulator,
  }
  const snapshotLimits = { ...limits, places: new Set([...limits.places, ...judgement.snapshotPlaces]) }
  // Their disks are at the same places; the VM's own files are not.
  const own = { ...places, disks: new Map() }
  const snapshots = offer.snapshots.map((record) => ({ ...record, xml: rewriteForTarget(record.xml, own) }))
  return { opened, disks: copy, limits, snapshotLimits, snapshots }
}

async function placeFile(directory: string, { name, content }: OfferedFile): Promise<void> {
  if (!(MOVED_FILES as readonly string[]).includes(name))
    throw new AgentError('INVALID_REQUEST', 'a file of the VM that is to come has a name that is not known')
  const bytes = await decompress(Buffer.from(content, 'base64'), { maxOutputLength: MAX_FILE_BYTES })
  if (name === SEED_FILE) await placeSeed(directory, bytes)
  else await writeFileAtomic(path.join(directory, name), bytes)
}
