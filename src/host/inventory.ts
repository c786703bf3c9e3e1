import os from 'node:os'
import { abortable } from '../core/keyed-lock.ts'
import type { HostFacts } from '../core/model.ts'
import { monotonicMs } from '../platform/clock.ts'
import { parseMountInfo } from '../platform/mounts.ts'
import { readBlockDevices, type BlockDevice } from './block-devices.ts'
import { readCpu } from './cpu.ts'
import { readFilesystems } from './filesystems.ts'
import { managementAddress } from './management-address.ts'
import { parseMemInfo } from './memory.ts'
import { readNics, type NicDetails } from './nics.ts'
import { parseOsRelease } from './os-release.ts'
import { readAttribute } from '../platform/sysfs.ts'

/** Host facts with what the registration tells in addition. */
export interface HostDetails extends HostFacts {
  readonly nics: readonly NicDetails[]
  readonly blockDevices: readonly BlockDevice[]
}

export interface InventoryOptions {
  /** Configured host name; the system's own by default. */
  readonly hostname?: string
  /** Configured management address; detected by default. */
  readonly managementIp?: string
  /** Where to read instead of `/proc`, `/sys` and `/etc`. */
  readonly roots?: { readonly proc: string; readonly sys: string; readonly etc: string }
}

/** The facts of this host. */
export interface HostInventory {
  /** Read from the kernel, at most every 5 s; concurrent callers share one reading. `managementIp` is empty when none can be told. */
  read(signal: AbortSignal): Promise<HostDetails>
}

const FRESH_MS = 5_000

/** An inventory of this host. Throws CONFIG_INVALID for a configured management address that is not one. */
export function createInventory(options: InventoryOptions = {}): HostInventory {
  managementAddress({}, options.managementIp)
  let reading: Promise<HostDetails> | undefined
  let startedAt = 0
  return {
    read(signal) {
      if (reading === undefined || monotonicMs() - startedAt > FRESH_MS) {
        startedAt = monotonicMs()
        const current = readDetails(options)
        // A failed reading is not kept.
        current.catch(() => {
          if (reading === current) reading = undefined
        })
        reading = current
      }
      return abortable(reading, signal)
    },
  }
}

async function readDetails(options: InventoryOptions): Promise<HostDetails> {
  const { proc, sys, etc } = options.roots ?? { proc: '/proc', sys: '/sys', etc: '/etc' }
  const addresses = os.networkInterfaces()
  const release = parseOsRelease(await readAttribute(etc, 'os-release'))
  return {
    hostname: options.hostname || os.hostname(),
    managementIp: managementAddress(addresses, options.managementIp) ?? '',
    osName: release.name,
    osVersion: release.version,
    kernelVersion: os.release(),
    cpu: await readCpu(proc, sys, os.machine()),
    memory: parseMemInfo(await readAttribute(proc, 'meminfo')),
    filesystems: await readFilesystems(parseMountInfo(await readAttribute(proc, 'self/mountinfo')), sys),
    nics: await readNics(sys, addresses),
    blockDevices: await readBlockDevices(sys),
  }
}
