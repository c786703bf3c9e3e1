import { readlinkSync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { AgentError } from '../../core/errors.ts'
import { isInside } from '../../platform/files.ts'
import type { PoolGuard } from '../pool-guard.ts'
import { volumeFile } from '../volume-name.ts'
import { openPool } from './pool-root.ts'
import { processesUsing } from './processes.ts'
import { openRecords, readRecords, type VolumeRecord } from './records.ts'

/** An entry that is about to be removed or renamed; what is below a directory counts with it. */
export interface Endangered {
  readonly guard: PoolGuard
  readonly root: FileHandle
  /** The directory it is in, open. */
  readonly parent: FileHandle
  readonly components: readonly string[]
  /** Agent whose paths the records of this host have. */
  readonly node: string
}

/** FILE_IN_USE when the entry is, holds or is the backing file of a volume of this pool, made by whatever host, or when a process of this host has it open. */
export async function refuseUsed({ guard, root, parent, components, node }: Endangered): Promise<void> {
  const entry = components.join('/')
  await using records = await openRecords(root)
  for (const record of await readRecords(records)) {
    const why = useOf(record, entry, guard, node)
    if (why !== undefined) throw new AgentError('FILE_IN_USE', `${entry} ${why}`)
  }
  // The kernel's own words for the place: guests reach it by whatever path.
  const place = `${readlinkSync(`/proc/self/fd/${parent.fd}`)}/${components.at(-1) ?? ''}`
  const users = await processesUsing({ root: place, except: [process.pid] })
  if (users.length > 0) throw new AgentError('FILE_IN_USE', `${entry} is open in ${users.slice(0, 10).join(', ')}`)
}

/** Names of the volumes of a pool that are overlays on absolute `place` or on something below it; without those of `exceptOwner`. */
export async function overlaysOn(params: { guard: PoolGuard; place: string; exceptOwner?: string }): Promise<string[]> {
  await using root = await openPool(params.guard)
  await using records = await openRecords(root)
  const overlays = (await readRecords(records)).filter(({ spec: { content, owner } }) => {
    return owner !== params.exceptOwner && content.type === 'overlay' && isInside(params.place, content.path)
  })
  return overlays.map(({ spec }) => spec.name)
}

function useOf(record: VolumeRecord, entry: string, guard: PoolGuard, node: string): string | undefined {
  const { name, format, content, owner } = record.spec
  const file = volumeFile(name, format)
  const files = [file.join('/'), [...file.slice(0, -1), record.temp].join('/')]
  if (files.some((each) => isBelow(entry, each))) {
    return `is or holds volume ${name} (of ${owner}); delete the volume instead`
  }
  if (content.type !== 'overlay') return undefined
  const direct = isInside(`${guard.root}/${entry}`, content.path)
  // Another host may have the pool at another place: there only the end of the path tells.
  const elsewhere = record.node !== node && `${content.path}/`.includes(`/${entry}/`)
  return direct || elsewhere ? `is or holds the backing file of volume ${name} (of ${owner})` : undefined
}

function isBelow(entry: string, file: string): boolean {
  return file === entry || file.startsWith(`${entry}/`)
}
