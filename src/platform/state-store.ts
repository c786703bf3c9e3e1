import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import type { Logger } from '../core/context.ts'
import { AgentError, errorText } from '../core/errors.ts'
import { KeyedLock } from '../core/keyed-lock.ts'
import { readTextIfPresent, syncDirectory, TEMP_SUFFIX, writeFileAtomic } from './files.ts'

/** Durable objects of one kind, by key. Every write is on disk when the promise resolves; one that cannot be made is STATE_NOT_WRITABLE. */
export interface StateCollection<T> {
  get(key: string): Promise<T | undefined>
  put(key: string, value: T): Promise<void>
  delete(key: string): Promise<void>
  /** Every object, sorted by key; unreadable files are set aside as `.corrupt` and logged, never lost silently. */
  entries(): Promise<[key: string, value: T][]>
}

/** The agent's own state: one JSON file per object below the state directory, each replaced atomically (docs/decisions.md). */
export interface StateStore {
  collection<T>(name: string): StateCollection<T>
}

/** A StateStore in `directory` (created 0700 if missing). Keys are object ids (`parseId`). */
export function openStateStore(directory: string, log: Logger): StateStore {
  return { collection: (name) => openCollection(path.join(directory, name), log) }
}

function openCollection<T>(directory: string, log: Logger): StateCollection<T> {
  const locks = new KeyedLock()
  const never = new AbortController().signal
  const fileOf = (key: string) => path.join(directory, `${encodeURIComponent(key)}.json`)
  let ready: Promise<void> | undefined
  const prepare = () =>
    (ready ??= prepareDirectory(directory).catch((error: unknown) => {
      ready = undefined
      throw error
    }))
  const write = async (key: string, change: (file: string) => Promise<void>) => {
    try {
      await prepare()
      await locks.run(key, never, () => change(fileOf(key)))
    } catch (error) {
      throw new AgentError('STATE_NOT_WRITABLE', `${fileOf(key)} cannot be written: ${errorText(error)}`, {
        cause: error,
      })
    }
  }
  const read = async (file: string): Promise<T | undefined> => {
    const text = await readTextIfPresent(file)
    if (text === undefined) return undefined
    try {
      return JSON.parse(text) as T
    } catch (error) {
      await rename(file, `${file}.corrupt`)
      log.error({ file, err: errorText(error) }, 'state file is unreadable; set aside')
      return undefined
    }
  }
  return {
    async get(key) {
      await prepare()
      return read(fileOf(key))
    },
    put: (key, value) => write(key, (file) => writeFileAtomic(file, `${JSON.stringify(value)}\n`)),
    delete: (key) =>
      write(key, async (file) => {
        await rm(file, { force: true })
        await syncDirectory(directory)
      }),
    async entries() {
      await prepare()
      const names = (await readdir(directory)).filter((name) => keyOf(name) !== undefined).sort()
      const found: [string, T][] = []
      for (const name of names) {
        const value = await read(path.join(directory, name))
        if (value !== undefined) found.push([keyOf(name) ?? name, value])
      }
      return found
    },
  }
}

async function prepareDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  for (const name of await readdir(directory)) {
    if (name.endsWith(TEMP_SUFFIX)) await rm(path.join(directory, name), { force: true })
  }
}

// The key of one of our files; undefined for files that somebody else put there.
function keyOf(fileName: string): string | undefined {
  if (!fileName.endsWith('.json')) return undefined
  const encoded = fileName.slice(0, -'.json'.length)
  try {
    const key = decodeURIComponent(encoded)
    return encodeURIComponent(key) === encoded ? key : undefined
  } catch {
    return undefined
  }
}
