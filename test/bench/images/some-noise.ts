const PIECE_BYTES = 1024 * 1024
const BLOCK_BYTES = 4096

/** A raw disk that packs to about a third, as images of operating systems do: noise that never repeats, text that does, and zeros. */
export function* someNoise(size: number): Generator<Buffer, undefined> {
  const text = Buffer.alloc(BLOCK_BYTES, 'the quick brown fox jumps over the lazy dog, and on it goes; ')
  let state = 1
  for (let sent = 0; sent < size; sent += PIECE_BYTES) {
    const piece = Buffer.alloc(Math.min(PIECE_BYTES, size - sent))
    for (let block = 0; block < piece.length; block += BLOCK_BYTES) {
      const kind = (block / BLOCK_BYTES) % 3
      if (kind === 1) text.copy(piece, block)
      if (kind !== 0) continue
      for (let offset = block; offset < Math.min(block + BLOCK_BYTES, piece.length); offset += 4) {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
        piece.writeUInt32LE((state ^ (state >>> 15)) >>> 0, offset)
      }
    }
    if (sent === 0) piece.fill(0, 0, 512).writeUInt16LE(0xaa55, 510)
    yield piece
  }
  return undefined
}
