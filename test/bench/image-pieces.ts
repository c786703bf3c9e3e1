const PIECE_BYTES = 1024 * 1024

/** A raw disk of `size` bytes in pieces of 1 MiB: a boot sector and noise that repeats. */
export function* pieces(size: number): Generator<Buffer, undefined> {
  const noise = Buffer.alloc(PIECE_BYTES)
  let state = 1
  for (let offset = 0; offset < PIECE_BYTES; offset += 4) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    noise.writeUInt32LE(state, offset)
  }
  const first = Buffer.from(noise)
  first.fill(0, 0, 512)
  first.writeUInt16LE(0xaa55, 510)
  for (let sent = 0; sent < size; sent += PIECE_BYTES) {
    yield (sent === 0 ? first : noise).subarray(0, Math.min(PIECE_BYTES, size - sent))
  }
  return undefined
}
