import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { silentLogger, type OpContext } from '../../../src/core/context.ts'
import { AgentError } from '../../../src/core/errors.ts'
import type { VolumeContent } from '../../../src/storage/backend.ts'
import { Lvm } from '../../../src/storage/lvm.ts'
import type { LogicalVolume, VolumeGroup } from '../../../src/storage/lvm-report.ts'
import { LvmVolumes } from '../../../src/storage/lvm-volumes.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'

const run = promisify(execFile)
const missing = await requirePrerequisite('qemu-img', missingCommand('qemu-img'))
const MIB = 2 ** 20
const GIB = 2 ** 30

const thinPool: LogicalVolume = {
  ...{ name: 'thin', sizeBytes: 100 * GIB, rawTags: [], tags: {}, isThinPool: true, pool: '', origin: '' },
  ...{ active: true, suspended: false, open: false, zeroes: true, dataUsed: 1, metadataUsed: 0.1, trouble: '' },
}
const group: VolumeGroup = {
  ...{ name: 'vg', rawTags: [], tags: { nodes: [], takers: [] }, sizeBytes: 200 * GIB, freeBytes: 0, devices: [] },
  ...{ extentBytes: 4 * MIB, missingDevices: 0, volumes: [thinPool] },
}

/** LVM on a host whose thin pool has no block left. */
class FullLvm extends Lvm {
  override async change(): Promise<void> {
    throw new AgentError('POOL_FULL', 'volume group vg has too little space')
  }
}

describe.skipIf(missing !== undefined)('a thin pool without room', () => {
  let directory: string
  const ctx = (): OpContext => ({ signal: AbortSignal.timeout(60_000), log: silentLogger })
  beforeEach(async () => (directory = await mkdtemp(path.join(tmpdir(), 'lqx-lvm-'))))
  afterEach(() => rm(directory, { recursive: true, force: true }))

  const failure = async (content: VolumeContent): Promise<AgentError> => {
    const lvm = new FullLvm({ volumeGroup: 'vg' })
    const names = { poolId: 'p1', nodeId: 'n', volumeGroup: 'vg', thinPool: 'thin' }
    const volumes = new LvmVolumes({ lvm, ...names, group: () => Promise.resolve(group) })
    const spec = { name: 'web', sizeBytes: 50 * GIB, format: 'raw', content, owner: '' } as const
    return volumes.create(spec, ctx()).then(
      () => expect.unreachable(),
      (error: AgentError) => error,
    )
  }
  const copyOf = (file: string): VolumeContent => ({
    type: 'copy',
    source: { type: 'file', path: file, format: 'raw' },
  })

  test('needs for a copy what is in the image, not the size of the volume', async () => {
    const file = `${directory}/image`
    await writeFile(file, Buffer.alloc(2 * MIB, 'x'))
    await run('truncate', ['--size', '1G', file])
    const { reason, message, details } = await failure(copyOf(file))
    expect([reason, message]).toEqual([
      'POOL_FULL',
      expect.stringMatching(
        /^thin pool vg\/thin is full: .* 0 B are left, and volume web needs \d\.\d MiB; free space/,
      ),
    ])
    expect(Number(details['neededBytes'])).toBeGreaterThanOrEqual(2 * MIB)
    expect(Number(details['neededBytes'])).toBeLessThan(16 * MIB)
  })

  test('needs next to nothing for an empty volume', async () => {
    const { reason, details } = await failure({ type: 'empty' })
    expect([reason, details['neededBytes']]).toEqual(['POOL_FULL', String(4 * MIB)])
  })
})
