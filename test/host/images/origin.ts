import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'

/** Content of any size that needs no memory: a raw disk whose every MiB differs. */
export interface Content {
  readonly bytes: number
  readonly sha256: string
  read(from: number, to: number): Buffer
}

const PIECE_BYTES = 1024 * 1024

/** The content of a `seed`. */
export function madeContent(bytes: number, seed = 1): Content {
  const base = Buffer.alloc(PIECE_BYTES)
  let state = seed
  for (let offset = 0; offset < PIECE_BYTES; offset += 4) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    base.writeUInt32LE(state, offset)
  }
  const piece = (index: number) => {
    const made = Buffer.from(base)
    made.writeUInt32LE(index, 512)
    if (index === 0) made.fill(0, 0, 512).writeUInt16LE(0xaa55, 510)
    return made.subarray(0, Math.min(PIECE_BYTES, bytes - index * PIECE_BYTES))
  }
  const hash = createHash('sha256')
  for (let index = 0; index * PIECE_BYTES < bytes; index++) hash.update(piece(index))
  return {
    bytes,
    sha256: hash.digest('hex'),
    read(from, to) {
      const parts: Buffer[] = []
      for (let at = from; at < to;) {
        const index = Math.floor(at / PIECE_BYTES)
        const part = piece(index).subarray(at % PIECE_BYTES, Math.min(PIECE_BYTES, to - index * PIECE_BYTES))
        parts.push(part)
        at += part.length
      }
      return Buffer.concat(parts)
    },
  }
}

/** One request as the server met it. */
export interface Asked {
  readonly url: string
  readonly range: string | undefined
  readonly ifRange: string | undefined
  readonly authorization: string | undefined
  /** Answers under way, with this one. */
  readonly atOnce: number
}

/** How one request is answered; whatever is left out is as a good server does it. */
export interface Answer {
  /** Instead of everything else. */
  readonly raw?: (response: ServerResponse, request: IncomingMessage) => void
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly content?: Content
  /** Strong validators; default an ETag made of the content. */
  readonly etag?: string | false
  readonly lastModified?: string
  /** Answers 200 with everything to a request for a part. */
  readonly noRanges?: boolean
  /** Content-Range as it is sent. */
  readonly contentRange?: (from: number, total: number) => string
  /** No content-length. */
  readonly chunked?: boolean
  /** Instead of the true length. */
  readonly announce?: number
  /** Ends the body, counted from its own start, before this byte, by: closing, reset, or saying nothing more. */
  readonly stopAt?: { readonly bytes: number; readonly by: 'close' | 'reset' | 'silence' }
  readonly bytesPerSecond?: number
}

/** Chooses an answer by the request. */
export type Answerer = (asked: Asked) => Answer

export interface Origin extends AsyncDisposable {
  /** URL of the content. */
  readonly url: string
  readonly origin: string
  readonly asked: readonly Asked[]
  /** Connections that were made, and those that are open. */
  connections(): { readonly made: number; readonly open: number }
  /** Bytes of all connections that the kernel took over. */
  bytesServed(): number
  /** How the next requests are answered, in turn; the last one stays. */
  answer(...answers: readonly (Answer | Answerer)[]): void
}

/** A server of one content, good or bad as it is told, request by request. */
export async function startOrigin(content: Content, port = 0): Promise<Origin> {
  const asked: Asked[] = []
  const sockets = new Set<Socket>()
  let gone = 0
  let [made, active] = [0, 0]
  let script: readonly (Answer | Answerer)[] = [{}]
  const server = createServer((request, response) => {
    const { range, 'if-range': ifRange, authorization } = request.headers
    active++
    let isActive = true
    const over = () => {
      if (isActive) active--
      isActive = false
    }
    response.once('finish', over).once('close', over)
    const one = { url: request.url ?? '', range, ifRange: ifRange as string | undefined, authorization, atOnce: active }
    asked.push(one)
    const [chosen = {}] = script
    if (script.length > 1) script = script.slice(1)
    const answer = typeof chosen === 'function' ? chosen(one) : chosen
    void serve(request, response, { content, ...answer }).catch(() => response.destroy())
  })
  server.on('connection', (socket) => {
    made++
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.once('close', () => {
      gone += socket.bytesWritten
      sockets.delete(socket)
    })
  })
  // No client finds an idle connection closed: the number of connections that are made is what the client wants.
  server.keepAliveTimeout = 10 * 60_000
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url: `${origin}/disk.img`,
    origin,
    asked,
    connections: () => ({ made, open: sockets.size }),
    bytesServed: () => [...sockets].reduce((sum, socket) => sum + socket.bytesWritten, gone),
    answer(...answers) {
      script = answers
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  answer: Answer & { readonly content: Content },
): Promise<void> {
  if (answer.raw !== undefined) {
    answer.raw(response, request)
    return
  }
  const { content } = answer
  const etag = answer.etag ?? `"${content.sha256.slice(0, 16)}"`
  const match = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '')
  const ifRange = request.headers['if-range']
  const fits = ifRange === undefined || ifRange === etag || ifRange === answer.lastModified
  const from = match === null || answer.noRanges === true || !fits ? 0 : Number(match[1])
  const isPart = match !== null && answer.noRanges !== true && fits
  const last = isPart && match[2] !== '' ? Math.min(content.bytes - 1, Number(match[2])) : content.bytes - 1
  const length = answer.announce ?? last + 1 - from
  response.writeHead(answer.status ?? (isPart ? 206 : 200), {
    'content-type': 'application/octet-stream',
    ...(answer.chunked === true ? {} : { 'content-length': length }),
    ...(etag === false ? {} : { etag }),
    ...(answer.lastModified === undefined ? {} : { 'last-modified': answer.lastModified }),
    ...(isPart
      ? {
          'content-range': answer.contentRange?.(from, content.bytes) ?? `bytes ${from}-${last}/${content.bytes}`,
        }
      : {}),
    ...answer.headers,
  })
  const end = Math.min(content.bytes, from + Math.min(answer.stopAt?.bytes ?? Infinity, length))
  await send(response, content, from, end, answer.bytesPerSecond)
  if (answer.stopAt?.by === 'close') response.socket?.end()
  else if (answer.stopAt?.by === 'reset') response.socket?.resetAndDestroy()
  else if (answer.stopAt === undefined) response.end()
}

async function send(
  response: ServerResponse,
  content: Content,
  from: number,
  end: number,
  bytesPerSecond = Infinity,
): Promise<void> {
  const started = performance.now()
  const step = bytesPerSecond === Infinity ? PIECE_BYTES : Math.max(1024, Math.min(PIECE_BYTES, bytesPerSecond / 50))
  for (let at = from; at < end && !response.destroyed;) {
    const to = Math.min(end, at + Math.floor(step))
    response.write(content.read(at, to))
    at = to
    const due = ((at - from) * 1000) / bytesPerSecond - (performance.now() - started)
    if (due > 1 && at < end) await pause(due)
    if (response.writableNeedDrain && !response.destroyed) await drained(response)
  }
  if (end === from) response.flushHeaders()
}

// Resolves when it takes more, or never will.
async function drained(response: ServerResponse): Promise<void> {
  const over = new AbortController()
  const event = (name: string) => once(response, name, { signal: over.signal }).catch(() => undefined)
  await Promise.race([event('drain'), event('close')])
  over.abort()
}
