import { silentLogger } from '../../src/core/context.ts'
import { createMounter } from '../../src/platform/mounter.ts'
import type { GuestSecret, GuestSecrets, StorageEnvironment, StoragePaths } from '../../src/storage/environment.ts'
import { StorageIo } from '../../src/storage/storage-io.ts'
import { memoryCollection } from '../conformance/memory-state.ts'

/** Guest secrets in memory, for hosts without libvirt; `values` shows what is there by UUID. */
export function memorySecrets(): GuestSecrets & { readonly values: ReadonlyMap<string, GuestSecret> } {
  const values = new Map<string, GuestSecret>()
  return {
    values,
    put(secret) {
      values.set(secret.uuid, secret)
      return Promise.resolve()
    },
    remove(uuid) {
      values.delete(uuid)
      return Promise.resolve()
    },
  }
}

/** The directories of an agent whose state is below `base`. */
export function storagePaths(base: string): StoragePaths {
  return {
    localPools: `${base}/images`,
    formerLocalPools: [`${base}/pools`],
    mounts: `${base}/mnt`,
    aliases: `${base}/pools`,
    secrets: `${base}/state/secrets`,
    reserved: [`${base}/state`],
  }
}

/** What backends are built on, below `base`, with storage helpers of its own and everything else in memory; `change` replaces parts. */
export function storageEnvironment(base: string, change: Partial<StorageEnvironment> = {}): StorageEnvironment {
  const log = change.log ?? silentLogger
  return {
    io: change.io ?? new StorageIo(log),
    mounter: createMounter(),
    mountPoints: memoryCollection(),
    sessions: memoryCollection(),
    paths: storagePaths(base),
    guestSecrets: memorySecrets(),
    nodeId: 'test-node',
    log,
    ...change,
  }
}
