const RECORDS = Symbol('records')

/** A message with further fields in encoded form: protobuf joins what stands behind each other. Sent by `serialized`. */
export function withRecords<Message extends object>(message: Message, records: readonly Buffer[]): Message {
  return Object.assign(message, { [RECORDS]: records })
}

/** The bytes of a message that `serialize` knows, and of its encoded fields behind them. */
export function serialized(message: unknown, serialize: (message: unknown) => Buffer): Buffer {
  const records = (message as { readonly [RECORDS]?: readonly Buffer[] } | null)?.[RECORDS]
  const own = serialize(message)
  return records === undefined ? own : Buffer.concat([own, ...records])
}
