import { Worker } from 'node:worker_threads'
import type { DigestAlgorithm, Digests } from './verify.ts'

// Source text instead of a file: it runs the same from a checkout and from a bundle, and starts without a loader.
const SOURCE = `
const { parentPort, workerData } = require('node:worker_threads')
const { createHash } = require('node:crypto')
const hashes = workerData.algorithms.map((name) => [name, createHash(name)])
const memory = new Uint8Array(workerData.memory)
parentPort.on('message', (message) => {
  if (message.end) {
    parentPort.postMessage({ digests: Object.fromEntries(hashes.map(([name, hash]) => [name, hash.digest('hex')])) })
    parentPort.close()
    return
  }
  const bytes = memory.subarray(message.offset, message.offset + message.length)
  for (const [, hash] of hashes) hash.update(bytes)
  parentPort.postMessage({ done: message.tag })
})
`

/** Hashes pieces of shared memory, in the order they are given, in a thread of its own: hashing costs as much as receiving and writing together. */
export class HashThread {
  readonly #worker: Worker
  readonly #digests = Promise.withResolvers<Digests>()

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
    this.#worker.on('message', (message: { done: number } | { digests: Digests }) => {
      if ('digests' in message) this.#digests.resolve(message.digests)
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
