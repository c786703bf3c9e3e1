import { Worker } from 'node:worker_threads'
import type { DigestAlgorithm, Digests } from './verify.ts'

// Source text instead of a file: it runs the same from a checkout and from a bundle, and starts without a loader.
const SOURCE = `
const { parentPort, workerData } = require('node:worker_threads')
const { createHash } = require('node:crypto')
const { readSync } = require('node:fs')
const hashes = workerData.algorithms.map((name) => [name, createHash(name)])
const memory = new Uint8Array(workerData.memory)
const update = (bytes) => {
  for (const [, hash] of hashes) hash.update(bytes)
}
let position = 0
const readUpTo = (fd, end, buffer) => {
  const bytes = new Uint8Array(buffer)
  while (position < end) {
    const count = Math.min(readSync(fd, bytes, 0, bytes.length, position), end - position)
    if (count === 0) throw new Error('the file ends at ' + position + ' instead of ' + end)
    update(bytes.subarray(0, count))
    position += count
  }
}
parentPort.on('message', (message) => {
  if (message.end) {
    parentPort.postMessage({ digests: Object.fromEntries(hashes.map(([name, hash]) => [name, hash.digest('hex')])) })
    parentPort.close()
    return
  }
  if (message.upTo !== undefined) {
    readUpTo(message.fd, message.upTo, message.buffer)
    parentPort.postMessage({ read: message.upTo })
    return
  }
  update(memory.subarray(message.offset, message.offset + message.length))
  parentPort.postMessage({ done: message.tag })
})
`

/** Hashes pieces of shared memory or of a file, in the order they are given, in a thread of its own: hashing costs as much as receiving and writing together. */
export class HashThread {
  readonly #worker: Worker
  readonly #digests = Promise.withResolvers<Digests>()
  #onRead: ((upTo: number) => void) | undefined

  /** `onDone` gets the tag of each piece that has been hashed; its memory may be reused. `onError` when the thread fails. */
  constructor(
    algorithms: readonly DigestAlgorithm[],
    memory: ArrayBufferLike,
    onDone: (tag: number) => void,
    onError: (error: Error) => void,
  ) {
    this.#digests.promise.catch(() => undefined)
    this.#worker = new Worker(SOURCE, {
      eval: true,
      workerData: { algorithms, memory },
      execArgv: [],
      resourceLimits: { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 16 },
    })
    this.#worker.on('message', (message: { done: number } | { digests: Digests } | { read: number }) => {
      if ('digests' in message) this.#digests.resolve(message.digests)
      else if ('read' in message) this.#onRead?.(message.read)
      else onDone(message.done)
    })
    this.#worker.on('error', (error: Error) => {
      this.#digests.reject(error)
      onError(error)
    })
  }

  /** Queues memory[offset, offset + length). */
  push(tag: number, offset: number, length: number): void {
    this.#worker.postMessage({ tag, offset, length })
  }

  /** Queues what is in the file of `fd` from the end of the last such piece, at first 0, to `upTo`; `buffer` is what it is read through. */
  pushFile(fd: number, upTo: number, buffer: SharedArrayBuffer, onRead: (upTo: number) => void): void {
    this.#onRead = onRead
    this.#worker.postMessage({ fd, upTo, buffer })
  }

  /** The digests of everything pushed; the thread ends. */
  async digest(): Promise<Digests> {
    this.#worker.postMessage({ end: true })
    return this.#digests.promise
  }

  /** Ends the thread early. */
  async stop(): Promise<void> {
    await this.#worker.terminate()
  }
}
