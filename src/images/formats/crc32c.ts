const POLYNOMIAL = 0x82f63b78

const TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ POLYNOMIAL : value >>> 1
  return value
})

/** CRC-32C (Castagnoli, RFC 3720 appendix B.4) of `bytes`, where the 4 bytes at `zeroed` count as zeros: the place of the checksum itself. */
export function crc32c(bytes: Uint8Array, zeroed: number): number {
  let crc = 0xffff_ffff
  for (const [index, byte] of bytes.entries()) {
    const value = index >= zeroed && index < zeroed + 4 ? 0 : byte
    crc = (TABLE[(crc ^ value) & 0xff] ?? 0) ^ (crc >>> 8)
  }
  return ~crc >>> 0
}
