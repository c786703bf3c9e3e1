import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { silentLogger, type OpContext } from '../../../src/core/context.ts'
import { Lvm } from '../../../src/storage/lvm.ts'
import { LvmGroup } from '../../../src/storage/lvm-group.ts'
import { LvmPool } from '../../../src/storage/lvm-pool.ts'
import { storageEnvironment } from '../../support/storage-environment.ts'

const run = promisify(execFile)

/** A volume group on a loop device, without device mapper: what several agents on one machine see as several hosts see one on a shared disk. */
export interface SharedGroup {
  readonly volumeGroup: string
  readonly device: string
  /** An LVM command on the disk; its output. */
  readonly lvm: (...command: string[]) => Promise<string>
  /** Adds tags to it, without the `limiquantix.` in front. */
  readonly tag: (...tags: string[]) => Promise<void>
  /** Its marks of hosts, sorted. */
  readonly marks: () => Promise<string[]>
  /** Puts a thin pool into its description. */
  readonly addThinPool: (options?: { readonly zeroes?: boolean; readonly tags?: readonly string[] }) => Promise<void>
  /** Leaves no room for volumes. */
  readonly closeDisk: () => Promise<void>
  /** Gives it a second disk that nobody sees any more. */
  readonly loseDisk: () => Promise<void>
  readonly group: (nodeId: string, lvmClass?: typeof Lvm) => LvmGroup
  readonly pool: (nodeId: string) => LvmPool
  readonly close: () => Promise<void>
}

export const ctx = (): OpContext => ({ signal: AbortSignal.timeout(60_000), log: silentLogger })

/**
 * A thin pool as LVM describes it: a kernel without device mapper makes none, but LVM restores the description of one.
 */
function thinPool(zeroes: boolean, tags: readonly string[]): string {
  const given = `tags = [${tags.map((tag) => `"${tag}"`).join(', ')}]`
  return `
logical_volumes {
  thin { id = "aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaa1" status = ["READ", "WRITE", "VISIBLE"] ${given} segment_count = 1
    segment1 { start_extent = 0 extent_count = 4 type = "thin-pool" metadata = "thin_tmeta" pool = "thin_tdata"
      transaction_id = 0 chunk_size = 128 discards = "passdown" zero_new_blocks = ${zeroes ? 1 : 0} } }
  thin_tdata { id = "aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaa2" status = ["READ", "WRITE"] segment_count = 1
    segment1 { start_extent = 0 extent_count = 4 type = "striped" stripe_count = 1 stripes = [ "pv0", 0 ] } }
  thin_tmeta { id = "aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaa3" status = ["READ", "WRITE"] segment_count = 1
    segment1 { start_extent = 0 extent_count = 1 type = "striped" stripe_count = 1 stripes = [ "pv0", 4 ] } }
}
`
}

/** Makes one with `tags` (without the `limiquantix.` in front), and nothing in it. Needs lvm, losetup and loop devices. */
export async function sharedGroup(...tags: string[]): Promise<SharedGroup> {
  const directory = await mkdtemp(path.join(tmpdir(), 'lqx-lvm-'))
  const volumeGroup = `vg_${path.basename(directory)}`
  const disk = async (name: string): Promise<string> => {
    const file = path.join(directory, name)
    await writeFile(file, '')
    await truncate(file, 64 * 1024 ** 2)
    return (await run('losetup', ['--find', '--show', file])).stdout.trim()
  }
  const device = await disk('disk')
  const lvm = async (...[command = '', ...args]: string[]) => {
    const env = { ...process.env, LVM_SUPPRESS_FD_WARNINGS: '1' }
    return (await run('lvm', [command, '--devices', device, ...args], { env })).stdout
  }
  const adding = (names: readonly string[]) => names.flatMap((name) => ['--addtag', `limiquantix.${name}`])
  await lvm('vgcreate', '--setautoactivation', 'n', ...adding(tags), volumeGroup, device)
  const place = { volumeGroup, devices: () => Promise.resolve([device]) }
  const options = { ...place, poolId: 'p1', kind: 'LOCAL_LVM', thinPool: 'thin', named: true } as const
  return {
    volumeGroup,
    device,
    lvm,
    tag: async (...names) => void (await lvm('vgchange', ...adding(names), volumeGroup)),
    marks: async () =>
      (await lvm('vgs', '--noheadings', '-o', 'vg_tags', volumeGroup))
        .trim()
        .split(',')
        .filter((tag) => /^limiquantix\.(?:node|taker)=/.test(tag))
        .sort(),
    async addThinPool({ zeroes = true, tags: given = [] } = {}) {
      const description = path.join(directory, 'description')
      await lvm('vgcfgbackup', '-f', description, volumeGroup)
      const text = await readFile(description, 'utf8')
      const end = text.lastIndexOf('}')
      await writeFile(description, `${text.slice(0, end)}${thinPool(zeroes, given)}${text.slice(end)}`)
      await lvm('vgcfgrestore', '--force', '-f', description, volumeGroup)
    },
    closeDisk: async () => void (await lvm('pvchange', '--allocatable', 'n', device)),
    async loseDisk() {
      const second = await disk('second')
      try {
        await lvm('vgextend', '--devices', second, volumeGroup, second)
      } finally {
        await run('losetup', ['--detach', second])
      }
    },
    group: (nodeId, lvmClass = Lvm) => new LvmGroup(new lvmClass(place), { ...options, nodeId }),
    pool: (nodeId) => new LvmPool({ ...options, environment: storageEnvironment(directory, { nodeId }) }),
    async close() {
      await run('losetup', ['--detach', device])
      for (const copies of ['archive', 'backup']) {
        // LVM's own copies of the description.
        await run('find', [`/etc/lvm/${copies}`, '-name', `${volumeGroup}*`, '-delete']).catch(() => undefined)
      }
      await rm(directory, { recursive: true, force: true })
    },
  }
}
