import { AgentError, isAgentError } from '../core/errors.ts'
import { run } from '../platform/exec.ts'
import { listNames, readAttribute } from '../platform/sysfs.ts'

const BLOCK = '/sys/class/block'
const REMOVE_TIMEOUT_MS = 15_000

/** An entry of device-mapper. `kernel` is its kernel name (`dm-4`). */
export interface DeviceMap {
  readonly kernel: string
  readonly name: string
  /** Kernel names of what it stands on; without what has gone. */
  readonly below: readonly string[]
}

/** LVM's entries of device-mapper that are of interest, as the kernel has them; no device is asked anything. */
export async function listMaps(isOurs: (name: string) => boolean): Promise<DeviceMap[]> {
  const kernels = (await listNames(BLOCK)).filter((name) => name.startsWith('dm-'))
  const maps = await Promise.all(
    kernels.map(async (kernel): Promise<DeviceMap[]> => {
      const name = await readAttribute(BLOCK, kernel, 'dm', 'name')
      if (!isOurs(name) || !(await readAttribute(BLOCK, kernel, 'dm', 'uuid')).startsWith('LVM-')) return []
      return [{ kernel, name, below: await listNames(BLOCK, kernel, 'slaves') }]
    }),
  )
  return maps.flat()
}

/** Kernel names (`/dev/sdb`) of all block devices that are there. */
export async function presentDevices(): Promise<string[]> {
  return (await listNames(BLOCK)).map((name) => `/dev/${name}`)
}

/** Those of `maps` that stand, directly or not, on something that is neither one of them nor one of the `devices` (kernel names such as `/dev/sdb`). */
export function strayMaps(maps: readonly DeviceMap[], devices: readonly string[]): DeviceMap[] {
  const byKernel = new Map(maps.map((map) => [map.kernel, map]))
  const good = new Set(devices)
  const isStray = ({ below }: DeviceMap): boolean =>
    below.length === 0 ||
    below.some((name) => {
      const map = byKernel.get(name)
      return map === undefined ? !good.has(`/dev/${name}`) : isStray(map)
    })
  return maps.filter(isStray)
}

/** Removes entries from the top down. VOLUME_IN_USE names those that something has open. */
export async function removeMaps(maps: readonly DeviceMap[]): Promise<void> {
  let left = [...maps]
  while (left.length > 0) {
    const free = left.filter(({ kernel }) => !left.some(({ below }) => below.includes(kernel)))
    for (const { name } of free) await removeMap(name)
    left = left.filter((map) => !free.includes(map))
  }
}

async function removeMap(name: string): Promise<void> {
  try {
    await run({
      file: 'dmsetup',
      args: ['remove', '--retry', name],
      package: 'dmsetup',
      timeoutMs: REMOVE_TIMEOUT_MS,
    })
  } catch (error) {
    if (!isAgentError(error, 'COMMAND_FAILED')) throw error
    if (/No such device/i.test(error.message)) return
    if (!/busy/i.test(error.message)) throw error
    throw new AgentError('VOLUME_IN_USE', `/dev/mapper/${name} is open; stop what uses it`, { cause: error })
  }
}
