import { createHash } from 'node:crypto'

/** Namespace URL of RFC 9562, appendix A. */
const URL_NAMESPACE = Buffer.from('6ba7b8119dad11d180b400c04fd430c8', 'hex')

/**
 * The id of an image file: UUIDv5 of a URL made of its place, so that every look, every host and every restart gives the same one. Of a pool: `pool://<poolId>/<path in the pool>`,
 * which is what control planes compute for ISOs (contract 3.8). Of a directory of this host: `node://<nodeId><absolute path>`.
 */
export function imageId(place: { readonly poolId: string; readonly nodeId: string; readonly path: string }): string {
  const { poolId, nodeId, path } = place
  return uuidV5(poolId === '' ? `node://${nodeId}${path}` : `pool://${poolId}/${path}`)
}

/** UUIDv5 in the namespace URL (RFC 9562, section 5.5). */
export function uuidV5(name: string): string {
  const bytes = createHash('sha1').update(URL_NAMESPACE).update(name, 'utf8').digest().subarray(0, 16)
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x50, 6)
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8)
  const hex = bytes.toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}
