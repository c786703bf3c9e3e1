/** Bytes that are not what the protocol says, or a value that does not fit its wire type. Always a RangeError. */
export class XdrError extends RangeError {
  override readonly name = 'XdrError'
}
