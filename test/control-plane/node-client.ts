import path from 'node:path'
import * as grpc from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { Traffic } from './traffic.ts'

const PROTO_ROOT = path.join(import.meta.dirname, '../../proto')
const PROTO_FILE = 'limiquantix/node/v1/node_daemon.proto'

/** An error of a node as grpc-go prints it, which is what the control plane's rules look at. */
export class NodeCallError extends Error {
  readonly status: grpc.status
  readonly metadata: grpc.Metadata

  constructor(error: grpc.ServiceError) {
    super(`rpc error: code = ${goName(error.code)} desc = ${error.details}`)
    this.status = error.code
    this.metadata = error.metadata
  }
}

type UnaryMethod = (
  request: object,
  metadata: grpc.Metadata,
  options: grpc.CallOptions,
  callback: (error: grpc.ServiceError | null, response?: object) => void,
) => grpc.ClientUnaryCall
type NodeStub = grpc.Client & Record<string, UnaryMethod>

let stubConstructor: grpc.ServiceClientConstructor | undefined

function loadStub(): grpc.ServiceClientConstructor {
  if (stubConstructor !== undefined) return stubConstructor
  const definition = loadSync(PROTO_FILE, {
    includeDirs: [PROTO_ROOT],
    longs: Number,
    enums: String,
    defaults: true,
    oneofs: true,
  })
  const loaded = definition['limiquantix.node.v1.NodeDaemonService'] as grpc.ServiceDefinition
  stubConstructor = grpc.makeGenericClientConstructor(loaded, 'NodeDaemonService')
  return stubConstructor
}

/** One gRPC channel to a node: plaintext, no metadata, 4 MiB messages, as grpc-go has it by default. Keys are lowerCamelCase, enums names. */
export class NodeClient {
  readonly address: string
  readonly #stub: NodeStub
  readonly #traffic: Traffic

  /** `traffic` gets every call. */
  constructor(address: string, traffic: Traffic = new Traffic()) {
    this.address = address
    this.#traffic = traffic
    this.#stub = new (loadStub())(address, grpc.credentials.createInsecure()) as unknown as NodeStub
  }

  /** Waits until the channel is up, like a blocking dial. */
  async dial(timeoutMs: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#stub.waitForReady(Date.now() + timeoutMs, (error) => (error ? reject(error) : resolve()))
    })
  }

  /** A unary call, `CreateVM` and so on. Throws NodeCallError. */
  async call<T = Record<string, unknown>>(method: string, request: object = {}, timeoutMs?: number): Promise<T> {
    const about = { from: 'control-plane', agent: this.address, over: 'grpc', call: method, request } as const
    return this.#traffic.record(
      about,
      () => this.#unary<T>(method, request, timeoutMs),
      (error) => (error instanceof NodeCallError ? goName(error.status) : 'none'),
    )
  }

  async #unary<T>(method: string, request: object, timeoutMs: number | undefined): Promise<T> {
    const deadline = timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs }
    return new Promise<T>((resolve, reject) => {
      const unary = this.#stub[method]
      if (unary === undefined) throw new Error(`the proto has no method ${method}`)
      unary.call(this.#stub, request, new grpc.Metadata(), deadline, (error, response) =>
        error ? reject(new NodeCallError(error)) : resolve(response as T),
      )
    })
  }

  close(): void {
    this.#stub.close()
  }
}

/** A status as grpc-go prints it: NOT_FOUND is NotFound. */
export function goName(code: grpc.status): string {
  const name = grpc.status[code] ?? 'UNKNOWN'
  return name
    .split('_')
    .map((word) => word.charAt(0) + word.slice(1).toLowerCase())
    .join('')
}
