import { AgentError } from '../core/errors.ts'

/** One part of a multipart body; read it to its end before the next one is asked for. */
export interface MultipartPart {
  readonly name: string
  /** Absent for a plain field. */
  readonly filename?: string
  readonly body: AsyncIterable<Buffer>
}

const MAX_HEADER_BYTES = 8 * 1024
const MAX_PARTS = 50

/** The boundary of a multipart/form-data content type (RFC 7578); INVALID_REQUEST otherwise. */
export function multipartBoundary(contentType: unknown): string {
  const match = /^multipart\/form-data\s*;.*?boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))/i.exec(String(contentType))
  const boundary = match?.[1] ?? match?.[2]
  if (boundary === undefined) throw invalid('send multipart/form-data with a boundary')
  return boundary
}

/** The parts of a multipart body, as it arrives: nothing but the end of a chunk is kept in memory. Errors: INVALID_REQUEST, what `source` throws. */
export async function* multipartParts(
  source: AsyncIterable<Uint8Array>,
  boundary: string,
): AsyncGenerator<MultipartPart> {
  const reader = new DelimitedReader(source)
  const delimiter = Buffer.from(`\r\n--${boundary}`)
  // The first delimiter stands at the very beginning, or behind a preamble.
  reader.prepend(Buffer.from('\r\n'))
  await drain(reader.upTo(delimiter))
  for (let count = 0; (await reader.take(2)).toString('latin1') === '\r\n'; count++) {
    if (count >= MAX_PARTS) throw invalid(`more than ${MAX_PARTS} parts`)
    const headers = await partHeaders(reader)
    const disposition = /^content-disposition:\s*form-data(.*)$/im.exec(headers)?.[1] ?? ''
    const name = /;\s*name="([^"]*)"/i.exec(disposition)?.[1]
    if (name === undefined) throw invalid('a part has no name')
    const filename = /;\s*filename="([^"]*)"/i.exec(disposition)?.[1]
    const body = reader.upTo(delimiter)
    yield { name, ...(filename === undefined ? {} : { filename }), body }
    await drain(body)
  }
}

/** A plain field as text of at most `maxBytes`. */
export async function fieldText({ name, body }: MultipartPart, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.length
    if (bytes > maxBytes) throw invalid(`${name} is longer than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

async function partHeaders(reader: DelimitedReader): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  // The line end of the delimiter is the one before the first header.
  reader.prepend(Buffer.from('\r\n'))
  for await (const chunk of reader.upTo(Buffer.from('\r\n\r\n'))) {
    bytes += chunk.length
    if (bytes > MAX_HEADER_BYTES) throw invalid('the headers of a part are too long')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

async function drain(body: AsyncIterable<Buffer>): Promise<void> {
  for await (const chunk of body) void chunk
}

class DelimitedReader {
  readonly #source: AsyncIterator<Uint8Array>
  #rest: Buffer = Buffer.alloc(0)

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]()
  }

  prepend(bytes: Buffer): void {
    this.#rest = Buffer.concat([bytes, this.#rest])
  }

  async take(length: number): Promise<Buffer> {
    while (this.#rest.length < length) await this.#more()
    const bytes = this.#rest.subarray(0, length)
    this.#rest = this.#rest.subarray(length)
    return bytes
  }

  /** The bytes before `delimiter`, which is passed over. */
  async *upTo(delimiter: Buffer): AsyncGenerator<Buffer> {
    for (;;) {
      const at = this.#rest.indexOf(delimiter)
      // What may be the beginning of a delimiter waits for the next chunk.
      const ready = at >= 0 ? at : Math.max(0, this.#rest.length - delimiter.length + 1)
      const bytes = this.#rest.subarray(0, ready)
      this.#rest = this.#rest.subarray(at >= 0 ? at + delimiter.length : ready)
      if (bytes.length > 0) yield bytes
      if (at >= 0) return
      await this.#more()
    }
  }

  async #more(): Promise<void> {
    const { value, done } = await this.#source.next()
    if (done === true) throw invalid('the body ends in the middle of a part')
    this.#rest = this.#rest.length === 0 ? Buffer.from(value) : Buffer.concat([this.#rest, value])
  }
}

function invalid(why: string): AgentError {
  return new AgentError('INVALID_REQUEST', `multipart body: ${why}`)
}
