import type { WorkerHandlers } from '../platform/workers.ts'
import { abandonVolume, claimVolume, publishVolume } from './worker/claims.ts'
import { makeDirectory, processesUsing, removeFileIn, renameIn, statEntry, syncDirectoryIn } from './worker/files.ts'
import { listDirectory } from './worker/list-directory.ts'
import { allocatedInPool, probePool } from './worker/probe.ts'
import { lookAtMountPoint, makeMountPoint, removeMountPoint } from './worker/mount-point.ts'
import { initialisePool, markerIn, resumePool, retirePool } from './worker/setup.ts'
import { deleteVolume, readVolume, readVolumes } from './worker/volumes.ts'

const handlers = {
  initialisePool,
  resumePool,
  retirePool,
  markerIn,
  lookAtMountPoint,
  makeMountPoint,
  removeMountPoint,
  probePool,
  allocatedInPool,
  listDirectory,
  statEntry,
  makeDirectory,
  removeFile: removeFileIn,
  rename: renameIn,
  syncDirectory: syncDirectoryIn,
  processesUsing,
  claimVolume,
  publishVolume,
  abandonVolume,
  readVolume,
  readVolumes,
  deleteVolume,
}

/** Everything the storage worker answers; storage-io.ts takes its types from here. */
export type StorageMethods = typeof handlers

/** All file I/O on pool paths. It runs in helper processes, which may block and be killed at any line. */
export const storageHandlers: WorkerHandlers = handlers
