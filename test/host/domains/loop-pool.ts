import { copyFile, mkdir, rm, truncate, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { AgentError } from '../../../src/core/errors.ts'
import type { PoolConfig, Volume } from '../../../src/core/model.ts'
import { run } from '../../../src/platform/exec.ts'
import type { PoolBackend, PoolBackendFactory, PoolTraits, VolumeSpec } from '../../../src/storage/backend.ts'
import { copyImage } from '../../../src/storage/copy-image.ts'
import { imagePlace } from '../../../src/storage/qemu-img.ts'
import { checkOrigin } from '../../../src/storage/volume-origin.ts'
import { requireSameSpec } from '../../../src/storage/volume-spec.ts'
import { missingCommand, missingRoot } from '../require.ts'

const TRAITS: PoolTraits = { shared: false, access: 'block', formats: ['raw'], isolation: 'common' }
const TIMEOUT_MS = 30_000
const SPACE = { totalBytes: 2 ** 40, usedBytes: 0, availableBytes: 2 ** 40 }

interface LoopVolume {
  readonly spec: VolumeSpec
  readonly file: string
  readonly device: string
}

/** What pools on loop devices keep from one agent to the next in one process; `close` gives the devices back. */
export interface LoopDevices {
  readonly factory: PoolBackendFactory
  /** Devices in use. */
  devices(): string[]
  close(): Promise<void>
}

/** Why there can be no loop devices here. */
export async function missingLoopDevices(): Promise<string | undefined> {
  return missingRoot() ?? (await missingCommand('losetup')())
}

/** A pool type whose volumes are real block devices, as those of LVM are, on any Linux host: what generic code does with devices is seen without LVM. */
export function loopDevices(directory: string): LoopDevices {
  const volumes = new Map<string, LoopVolume>()
  const remove = async (name: string) => {
    const volume = volumes.get(name)
    if (volume === undefined) return
    await losetup('--detach', volume.device)
    await rm(volume.file)
    volumes.delete(name)
  }
  return {
    factory: { kind: 'LOCAL_LVM', traits: TRAITS, create: (config) => loopPool(config, directory, volumes, remove) },
    devices: () => [...volumes.values()].map(({ device }) => device),
    close: async () => {
      for (const name of [...volumes.keys()]) await remove(name)
    },
  }
}

function loopPool(
  config: PoolConfig,
  directory: string,
  volumes: Map<string, LoopVolume>,
  remove: (name: string) => Promise<void>,
): PoolBackend {
  const { poolId } = config
  const view = (name: string): Volume | undefined => {
    const found = volumes.get(name)
    if (found === undefined) return undefined
    const { spec, device } = found
    const sizes = { virtualSizeBytes: spec.sizeBytes, allocatedBytes: spec.sizeBytes }
    return { poolId, name, format: 'raw', ...sizes, source: { type: 'block', device, format: 'raw' } }
  }
  const get = (name: string): Volume => {
    const volume = view(name)
    if (volume === undefined) throw new AgentError('VOLUME_NOT_FOUND', `volume ${name} is missing in pool ${poolId}`)
    return volume
  }
  return {
    kind: 'LOCAL_LVM',
    traits: TRAITS,
    config,
    mountPath: '',
    activate: () => Promise.resolve({ outcome: 'activated' }),
    deactivate: () => Promise.resolve('deactivated'),
    probe: () =>
      Promise.resolve({
        ...SPACE,
        health: 'HEALTHY',
        reason: 'OK',
        message: '',
        volumeCount: volumes.size,
        observedAt: Date.now(),
        probeLatencyMs: 0,
      }),
    listVolumes: () => Promise.resolve([...volumes.keys()].map(get)),
    getVolume: (name) => Promise.resolve(view(name)),
    async createVolume(spec, ctx, options) {
      const present = volumes.get(spec.name)
      if (present !== undefined) {
        requireSameSpec(present.spec, spec)
        return get(spec.name)
      }
      await mkdir(directory, { recursive: true })
      const file = path.join(directory, encodeURIComponent(spec.name))
      const { content } = spec
      if (content.type === 'clone') await copyFile(volumes.get(content.volume)?.file ?? '', file)
      else await writeFile(file, '', { flag: 'wx' })
      await truncate(file, spec.sizeBytes)
      const device = (await losetup('--find', '--show', file)).trim()
      volumes.set(spec.name, { spec, file, device })
      if (content.type === 'copy') {
        const { source } = content
        const origin = { place: imagePlace(source), format: source.format }
        const name = `volume ${spec.name} of pool ${poolId}`
        const target = { name, place: device, format: 'raw', zeroed: true, direct: true } as const
        await copyImage(origin, target, await checkOrigin(spec, origin, ctx), ctx, options)
      }
      return get(spec.name)
    },
    async deleteVolume(name, _ctx, owner) {
      const found = volumes.get(name)
      if (found === undefined || (owner !== undefined && found.spec.owner !== owner)) return 'already-deleted'
      await remove(name)
      return 'deleted'
    },
    diskSource: (name) => Promise.resolve(get(name).source),
    holds: (place) => [...volumes.values()].some(({ device }) => device === place),
  }
}

async function losetup(...args: readonly string[]): Promise<string> {
  return (await run({ file: 'losetup', package: 'mount', args, timeoutMs: TIMEOUT_MS })).stdout
}
