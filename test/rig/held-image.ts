import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const SIZE = 4 * 2 ** 20

/** A server whose image stops halfway until `release`, so that something can happen during a download. */
export interface HeldImage extends AsyncDisposable {
  readonly port: number
  readonly image: Buffer
  /** `sha256:<hex>` of the image. */
  readonly checksum: string
  /** Resolves when half of the image was sent to somebody. */
  halfway(): Promise<void>
  /** The rest follows, now and for every later request. */
  release(): void
}

/** Serves a qcow2 image of 4 MiB on loopback. */
export async function heldImage(): Promise<HeldImage> {
  const image = await randomImage()
  const half = image.length / 2
  const waiting = new Set<ServerResponse>()
  let released = false
  const reached = Promise.withResolvers<void>()
  const server = createServer((_, response) => {
    response.writeHead(200, { 'content-length': image.length })
    if (released) return void response.end(image)
    waiting.add(response)
    response.write(image.subarray(0, half), () => reached.resolve())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    image,
    checksum: `sha256:${createHash('sha256').update(image).digest('hex')}`,
    halfway: () => reached.promise,
    release() {
      released = true
      for (const response of waiting) response.end(image.subarray(half))
      waiting.clear()
    },
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

async function randomImage(): Promise<Buffer> {
  const directory = await mkdtemp(path.join(tmpdir(), 'lqx-held-'))
  try {
    const [raw, image] = [path.join(directory, 'raw'), path.join(directory, 'qcow2')]
    await writeFile(raw, randomBytes(SIZE))
    await run('qemu-img', ['convert', '-q', '-f', 'raw', '-O', 'qcow2', raw, image])
    return await readFile(image)
  } finally {
    await rm(directory, { recursive: true })
  }
}
