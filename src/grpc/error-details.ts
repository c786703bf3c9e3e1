/**
 * Encodes google.rpc.Status with one google.rpc.ErrorInfo, the standard content of the trailer `grpc-status-details-bin`. By hand, because the two
 * messages have six string fields between them: Status{1 code, 2 message, 3 details}, Any{1 type_url, 2 value}, ErrorInfo{1 reason, 2 domain,
 * 3 metadata}.
 */
export function encodeStatusDetails(
  code: number,
  message: string,
  reason: string,
  metadata: Readonly<Record<string, string>>,
): Buffer {
  const info = Buffer.concat([
    text(1, reason),
    text(2, ERROR_DOMAIN),
    ...Object.entries(metadata).map(([key, value]) => bytes(3, Buffer.concat([text(1, key), text(2, value)]))),
  ])
  const any = Buffer.concat([text(1, 'type.googleapis.com/google.rpc.ErrorInfo'), bytes(2, info)])
  return Buffer.concat([Buffer.of((1 << 3) | 0, ...varint(code)), text(2, message), bytes(3, any)])
}

/** `domain` of every ErrorInfo of this agent. */
const ERROR_DOMAIN = 'node.limiquantix'

function text(field: number, value: string): Buffer {
  return bytes(field, Buffer.from(value))
}

function bytes(field: number, value: Buffer): Buffer {
  return Buffer.concat([Buffer.of((field << 3) | 2, ...varint(value.length)), value])
}

function varint(value: number): number[] {
  const out: number[] = []
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 0x80) return [...out, rest]
    out.push((rest & 0x7f) | 0x80)
  }
}
