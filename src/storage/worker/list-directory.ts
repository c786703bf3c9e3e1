import { lstatSync, opendirSync, type Dirent, type Stats } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'
import { AgentError } from '../../core/errors.ts'
import type { PoolFile, PoolFileBatch, PoolFileQuery } from '../../core/model.ts'
import type { WorkerCall } from '../../platform/workers.ts'
import type { PoolFileEncoders } from '../pool-file-encoder.ts'
import type { PoolGuard } from '../pool-guard.ts'
import { MARKER_FILE, RECORDS_DIRECTORY } from '../pool-marker.ts'
import { inNameOrder, inWeightOrder, type OrderedNames } from './entry-order.ts'
import { refuseOwn } from './entry-path.ts'
import { errnoOf, poolError } from './errno.ts'
import { extension, isImageExtension, lookIntoFile } from './file-type.ts'
import { at, openDirectory, openPool } from './pool-root.ts'
import { recentOrder } from './recent-order.ts'

/** Entries per turn of the worker's loop and per message to the main process: short enough for neither to stall. */
const BATCH = 1_000
/** Entries read from the kernel at once. */
const READ_BATCH = 4_096
/** Files of one answer that are looked into: each costs an open and a read, on a network file system three round trips. */
const MAX_LOOKS = 1_000
const LOOKS_TIME_MS = 5_000

export interface ListParams extends Omit<PoolFileQuery, 'path'> {
  readonly guard: PoolGuard
  readonly components: readonly string[]
  /** LISTING_TOO_LARGE above: entries in the directory, and entries in the answer. */
  readonly maxEntries: number
  readonly maxAnswer: number
}

/**
 * Lists a directory of a pool: directories first, then in the asked order, the last word having the name. The asked part goes to the caller in batches (PoolFileBatch), encoded as the
 * caller sends it on, as events; the answer is the number of entries. Errors: those of openPool and openDirectory, LISTING_TOO_LARGE.
 */
export async function listDirectory(params: ListParams, call: WorkerCall, encoders: PoolFileEncoders): Promise<number> {
  refuseOwn(params.components)
  await using root = await openPool(params.guard)
  await using directory = await openDirectory(root, params.components)
  const reader = new DirectoryReader(directory, params)
  const { names, directories } = await reader.ordered(call.signal)
  const total = names.length
  const end = Math.min(total, params.limit === undefined ? total : params.offset + params.limit)
  if (end - params.offset > params.maxAnswer) {
    throw new AgentError(
      'LISTING_TOO_LARGE',
      `the directory has ${total} entries, more than the ${params.maxAnswer} one answer may carry; ask for parts of it`,
    )
  }
  const encode = encoders[params.form]
  for (let start = params.offset; start < end; start += BATCH) {
    const files = reader.files(names.slice(start, Math.min(end, start + BATCH)), directories - start)
    call.emit({ total, bytes: encode(files) } satisfies PoolFileBatch)
    await setImmediate()
    call.signal.throwIfAborted()
  }
  return total
}

class DirectoryReader {
  readonly #directory: FileHandle
  readonly #params: ListParams
  readonly #prefix: string
  #looks = MAX_LOOKS
  #lookingMs = LOOKS_TIME_MS

  constructor(directory: FileHandle, params: ListParams) {
    this.#directory = directory
    this.#params = params
    this.#prefix = params.components.map((component) => `${component}/`).join('')
  }

  /** Everything in the directory, in order. Only orders by size or time need more than the names. */
  async ordered(signal: AbortSignal): Promise<OrderedNames> {
    const { order, descending } = this.#params
    if (order === 'size' || order === 'mtime') return this.#weighed(order, signal)
    return recentOrder(this.#directory, `${order} ${descending}`, () => {
      const { directories, others } = this.#names()
      const sort = (names: readonly string[]) => {
        const sorted = inNameOrder(names)
        if (order === 'type') return inWeightOrder(sorted, sorted.map(extension), descending)
        return descending ? sorted.reverse() : sorted
      }
      return joined(sort(directories), sort(others))
    })
  }

  async #weighed(order: 'size' | 'mtime', signal: AbortSignal): Promise<OrderedNames> {
    const { directories, others } = this.#names()
    const sort = async (found: readonly string[], weigh: (stat: Stats) => number) => {
      const names: string[] = []
      const weights: number[] = []
      const sorted = inNameOrder(found)
      for (let start = 0; start < sorted.length; start += BATCH) {
        this.#within(() => {
          for (const name of sorted.slice(start, start + BATCH)) {
            const stat = this.#stat(name)
            if (stat === undefined && !isUnspeakable(name)) continue
            names.push(name)
            weights.push(stat === undefined ? 0 : weigh(stat))
          }
        })
        await setImmediate()
        signal.throwIfAborted()
      }
      return inWeightOrder(names, weights, this.#params.descending)
    }
    const byTime = (stat: Stats) => stat.mtimeMs
    const bySize = (stat: Stats) => (stat.isDirectory() ? 0 : stat.size)
    const weigh = order === 'size' ? bySize : byTime
    return joined(await sort(directories, weigh), await sort(others, weigh))
  }

  /** The entries of `names`, the first `directories` of which were directories, that are still there. */
  files(names: readonly string[], directories: number): PoolFile[] {
    const files: PoolFile[] = []
    this.#within(() => {
      let index = 0
      for (const name of names) {
        const file = this.#describe(name, index++ < directories)
        if (file !== undefined) files.push(file)
      }
    })
    return files
  }

  // Paths through /proc/self/fd cost the kernel twice the time of names in the working directory. Nothing else of this process runs meanwhile, and nothing relies on it.
  #within(work: () => void): void {
    process.chdir(at(this.#directory, '.'))
    try {
      work()
    } finally {
      process.chdir('/')
    }
  }

  #names(): { directories: string[]; others: string[] } {
    const { components, maxEntries } = this.#params
    const isRoot = components.length === 0
    const directories: string[] = []
    const others: string[] = []
    const directory = opendirSync(at(this.#directory, '.'), { bufferSize: READ_BATCH })
    try {
      for (let entry = next(directory); entry !== null; entry = next(directory)) {
        const { name } = entry
        if (isRoot && (name === MARKER_FILE || name === RECORDS_DIRECTORY)) continue
        if (entry.isDirectory()) directories.push(name)
        else others.push(name)
        if (directories.length + others.length <= maxEntries) continue
        throw new AgentError('LISTING_TOO_LARGE', `the directory has more than ${maxEntries} entries`)
      }
      return { directories, others }
    } catch (error) {
      throw poolError(error, components.join('/'))
    } finally {
      directory.closeSync()
    }
  }

  // Synchronous on purpose: this process exists to block, and one call through libuv's pool costs ten times the system call.
  #stat(name: string): Stats | undefined {
    try {
      return lstatSync(name, { throwIfNoEntry: false })
    } catch (error) {
      throw poolError(error, [...this.#params.components, name].join('/'))
    }
  }

  #describe(name: string, wasDirectory: boolean): PoolFile | undefined {
    const path = this.#prefix + name
    const stat = this.#stat(name)
    if (stat === undefined) {
      if (!isUnspeakable(name)) return undefined
      const nothing = { sizeBytes: 0, modifiedAt: 0, permissions: '0', fileType: 'special' }
      return { name, path, isDirectory: wasDirectory, ...nothing }
    }
    const isDirectory = stat.isDirectory()
    return {
      name,
      path,
      isDirectory,
      sizeBytes: isDirectory ? 0 : stat.size,
      modifiedAt: Math.trunc(stat.mtimeMs),
      fileType: isDirectory ? 'directory' : this.#type(name, stat),
      permissions: octal(stat.mode & 0o7777),
    }
  }

  #type(name: string, stat: Stats): string {
    if (stat.isSymbolicLink()) return 'symlink'
    if (!stat.isFile()) return 'special'
    const byName = extension(name)
    // A page is looked at as a whole; of a whole directory, what is probably an image.
    const promising = this.#params.limit !== undefined || isImageExtension(byName)
    if (!promising || stat.size === 0 || this.#looks <= 0 || this.#lookingMs <= 0) return byName
    const startedAt = performance.now()
    const type = lookIntoFile(name, name)
    this.#looks--
    this.#lookingMs -= performance.now() - startedAt
    return type ?? byName
  }
}

// Removed since the directory was read, unless its name is no UTF-8 and cannot be asked for: then it is shown as what it is, nothing that can be used.
function isUnspeakable(name: string): boolean {
  return name.includes('\ufffd')
}

function joined(directories: readonly string[], others: readonly string[]): OrderedNames {
  return { names: [...directories, ...others], directories: directories.length }
}

const octals = new Map<number, string>()

function octal(mode: number): string {
  const known = octals.get(mode) ?? mode.toString(8)
  octals.set(mode, known)
  return known
}

function next(directory: ReturnType<typeof opendirSync>): Dirent | null {
  for (;;) {
    try {
      return directory.readSync()
    } catch (error) {
      // An entry whose kind the file system does not tell, gone before it was asked.
      if (errnoOf(error) !== 'ENOENT') throw error
    }
  }
}
