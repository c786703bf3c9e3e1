import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { ByteRing } from './byte-ring.ts'
import type { ByteMemory } from './byte-stream.ts'

const RING_BYTES = 1024 * 1024
/** About what the kernel keeps for a socket. */
const READ_BYTES = 256 * 1024

/** A child that writes less than this in a millisecond is waited for; three times as much fits into the socket, so it never waits itself. */
const SLOW_BYTES_PER_MS = 64 * 1024
/** Over how much the speed is taken. */
const PACE_BYTES = 256 * 1024
const REST_MS = 1

/**
 * What a child process writes, through memory that is used again. A pipe of `spawn` makes a new buffer for every 64 KiB: collecting those, and the system calls, cost more than a fast decompressor.
 */
export class ProcessOutput {
  /** The end of the child, for `stdio` of spawn; to be destroyed when the child has it. */
  readonly theirs: Socket
  /** The bytes up to the end, when nobody has `theirs` any more, unless they were diverted. A piece is good until the next one is asked for. */
  readonly bytes: AsyncIterable<Buffer>
  readonly #ours: Socket
  readonly #ring: ByteRing

  private constructor(theirs: Socket, ours: Socket, ring: ByteRing) {
    this.theirs = theirs
    this.#ours = ours
    this.bytes = this.#ring = ring
  }

  static async open(): Promise<ProcessOutput> {
    // Of this user alone while the two ends find each other.
    const directory = await mkdtemp(path.join(tmpdir(), 'lqx-output-'))
    const server = createServer({ pauseOnConnect: true })
    try {
      const address = path.join(directory, 'socket')
      server.listen(address)
      await once(server, 'listening')
      const ring = new ByteRing(RING_BYTES, READ_BYTES)
      const pace = new Pace()
      const accepted = once(server, 'connection')
      const ours = connect({
        path: address,
        onread: {
          buffer: () => ring.space(),
          callback: (count) => {
            if (!ring.arrived(count)) return false
            if (!pace.isSlow(count)) return true
            setTimeout(() => ours.read(0), REST_MS)
            return false
          },
        },
      })
      ring.onSpace = () => ours.read(0)
      ours.on('error', (error) => ring.end(error))
      ours.on('close', () => ring.end())
      await once(ours, 'connect')
      const [theirs] = (await accepted) as [Socket]
      return new ProcessOutput(theirs, ours, ring)
    } finally {
      server.close()
      await rm(directory, { recursive: true, force: true })
    }
  }

  /** Reads what was not taken yet into `memory`; `bytes` has no more pieces, and ends at the end. */
  divert(memory: ByteMemory): void {
    this.#ring.divert(memory)
  }

  /** Takes no more; what was not taken is gone. */
  close(): void {
    this.theirs.destroy()
    this.#ours.destroy()
    this.#ring.drop()
  }
}

/**
 * How fast a child writes. Slow ones write few bytes at once (xz 8 KiB): a reader that wakes for each of them costs the writer a wake-up each time, and a tenth of its time.
 */
class Pace {
  #bytes = 0
  #since = performance.now()
  #isSlow = false

  isSlow(count: number): boolean {
    this.#bytes += count
    if (this.#bytes >= PACE_BYTES) {
      const now = performance.now()
      this.#isSlow = this.#bytes < SLOW_BYTES_PER_MS * (now - this.#since)
      this.#bytes = 0
      this.#since = now
    }
    return this.#isSlow
  }
}
