import path from 'node:path'
import type { Client } from '@grpc/grpc-js'
import { credentials, type MethodDefinition, type ServiceClientConstructor, loadPackageDefinition } from '@grpc/grpc-js'
import { load } from '@grpc/proto-loader'

/** A control plane's view of the agent: every RPC of the service by name, with a deadline. */
export interface NodeClient {
  /** Unary call; rejects with grpc-js's ServiceError. */
  call<T = Record<string, unknown>>(method: string, request: object, timeoutMs?: number): Promise<T>
  close(): void
}

const PROTO = path.join(import.meta.dirname, '..', '..', 'proto')

/** Connects in plain text to `address` (host:port), as the existing control planes do. */
export async function connectNode(address: string): Promise<NodeClient> {
  const definition = await load('limiquantix/node/v1/node_daemon.proto', {
    includeDirs: [PROTO],
    keepCase: false,
    longs: Number,
    enums: String,
    defaults: true,
  })
  const loaded = loadPackageDefinition(definition) as unknown as {
    limiquantix: { node: { v1: { NodeDaemonService: ServiceClientConstructor } } }
  }
  const Service = loaded.limiquantix.node.v1.NodeDaemonService
  const client: Client = new Service(address, credentials.createInsecure())
  return {
    call<T>(method: string, request: object, timeoutMs = 30_000): Promise<T> {
      const rpc = Service.service[method] as MethodDefinition<object, T> | undefined
      if (rpc === undefined) throw new Error(`no RPC ${method}`)
      return new Promise((resolve, reject) => {
        client.makeUnaryRequest(
          rpc.path,
          rpc.requestSerialize,
          rpc.responseDeserialize,
          request,
          { deadline: Date.now() + timeoutMs },
          (error, value) => {
            if (error) reject(error)
            else resolve(value as T)
          },
        )
      })
    },
    close: () => client.close(),
  }
}
