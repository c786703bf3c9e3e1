import type { BigIntStats } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'

/** How long the order of a directory is kept: for somebody who fetches it part by part. */
const KEEP_MS = 10_000
/** A directory that was changed just now may change again without a new time. */
const SETTLED_MS = 2_000

interface Recent {
  readonly key: string
  readonly order: unknown
}

// One only: the memory of a helper is for the work at hand.
let recent: Recent | undefined
let timer: NodeJS.Timeout | undefined

/** The order `sort` makes of an unchanged directory, from the last time or anew. `how` tells orders of one directory apart. */
export async function recentOrder<T>(directory: FileHandle, how: string, sort: () => T): Promise<T> {
  const stat = await directory.stat({ bigint: true })
  const key = [how, ...identity(stat)].join(' ')
  if (recent?.key === key) return recent.order as T
  const order = sort()
  if (Date.now() - Number(stat.mtimeMs) > SETTLED_MS) keep({ key, order })
  return order
}

function identity({ dev, ino, mtimeNs, ctimeNs }: BigIntStats): bigint[] {
  return [dev, ino, mtimeNs, ctimeNs]
}

function keep(order: Recent): void {
  recent = order
  clearTimeout(timer)
  timer = setTimeout(() => {
    recent = undefined
  }, KEEP_MS)
  timer.unref()
}
