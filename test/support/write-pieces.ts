import type { Writable } from 'node:stream'

/** Writes `count` pieces of 1 MiB, each when the one before was taken. */
export function writePieces(to: Writable, count: number): { readonly taken: number; readonly all: Promise<void> } {
  const piece = Buffer.alloc(1 << 20)
  const { promise: all, resolve } = Promise.withResolvers<void>()
  const progress = { taken: 0, all }
  const next = () => {
    if (progress.taken === count) return resolve()
    to.write(piece, () => {
      progress.taken++
      next()
    })
  }
  next()
  return progress
}
