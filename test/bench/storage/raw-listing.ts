import path from 'node:path'
import { credentials, Client, type ServiceDefinition } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'

const PROTO_ROOT = path.join(import.meta.dirname, '../../../proto')

/** ListStoragePoolFiles whose answers are left as bytes: what a client makes of them is its own time. */
export class RawListing {
  readonly #client: Client
  readonly #method

  constructor(address: string) {
    const loaded = loadSync('limiquantix/node/v1/node_daemon.proto', { includeDirs: [PROTO_ROOT] })
    const service = loaded['limiquantix.node.v1.NodeDaemonService'] as ServiceDefinition
    const method = service['ListStoragePoolFiles']
    if (method === undefined) throw new Error('the proto has no ListStoragePoolFiles')
    this.#method = method
    this.#client = new Client(address, credentials.createInsecure())
  }

  /** Length of the answer. */
  bytesOf(request: object): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    const { path: name, requestSerialize } = this.#method
    this.#client.makeUnaryRequest<object, Buffer>(
      name,
      requestSerialize,
      (bytes) => bytes,
      request,
      (error, answer) => {
        if (error === null) resolve(answer?.length ?? 0)
        else reject(error)
      },
    )
    return promise
  }

  close(): void {
    this.#client.close()
  }
}
