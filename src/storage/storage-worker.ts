import { deleteImageFile } from '../images/library/delete-image.ts'
import { scanImages } from '../images/library/scan-images.ts'
import type { WorkerCall } from '../platform/workers.ts'
import type { PoolFileEncoders } from './pool-file-encoder.ts'
import {
  listBackupNames,
  readBackupManifests,
  removeBackupManifest,
  writeBackupManifest,
} from './worker/backup-manifests.ts'
import { abandonVolume, claimVolume, publishVolume } from './worker/claims.ts'
import { deleteEntry, makeDirectory, renameEntry, statEntry } from './worker/entries.ts'
import { listDirectory, type ListParams } from './worker/list-directory.ts'
import { allocatedInPool, probePool } from './worker/probe.ts'
import { readGuestLease, releaseGuestLease, takeGuestLease, writeGuestLease } from './worker/guest-leases.ts'
import { lookAtMountPoint, makeMountPoint, removeMountPoint } from './worker/mount-point.ts'
import { processesUsing } from './worker/processes.ts'
import { overlaysOn } from './worker/protection.ts'
import { readContent, statContent } from './worker/read-content.ts'
import { initialisePool, markerIn, resumePool, retirePool } from './worker/setup.ts'
import { deleteVolume, readVolume, readVolumes, recordVolumeBase } from './worker/volumes.ts'

const METHODS = {
  initialisePool,
  resumePool,
  retirePool,
  markerIn,
  lookAtMountPoint,
  makeMountPoint,
  removeMountPoint,
  probePool,
  allocatedInPool,
  statEntry,
  makeDirectory,
  deleteEntry,
  renameEntry,
  overlaysOn,
  statContent,
  readContent,
  processesUsing,
  claimVolume,
  publishVolume,
  abandonVolume,
  readVolume,
  readVolumes,
  deleteVolume,
  recordVolumeBase,
  readGuestLease,
  takeGuestLease,
  writeGuestLease,
  releaseGuestLease,
  readBackupManifests,
  listBackupNames,
  writeBackupManifest,
  removeBackupManifest,
  scanImages,
  deleteImageFile,
}

/** Everything the storage worker answers; storage-io.ts takes its types from here. */
export type StorageMethods = ReturnType<typeof storageHandlers>

/** All file I/O on pool paths. It runs in helper processes, which may block and be killed at any line. */
export function storageHandlers(encoders: PoolFileEncoders) {
  const list = (params: ListParams, call: WorkerCall) => listDirectory(params, call, encoders)
  return { ...METHODS, listDirectory: list }
}
