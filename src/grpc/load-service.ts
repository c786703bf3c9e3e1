import * as grpc from '@grpc/grpc-js'
import { fromJSON } from '@grpc/proto-loader'
import parsedProto from './gen/node_daemon.json' with { type: 'json' }
import type { ProtoGrpcType } from './gen/node_daemon.ts'
import { LOADER_OPTIONS } from './loader-options.ts'

/** Full name of the service. */
export const SERVICE_NAME = 'limiquantix.node.v1.NodeDaemonService'

/** The service as grpc-js wants it (definition for a server, constructor for a client), from the parsed proto. */
export function loadNodeDaemonService(): ProtoGrpcType['limiquantix']['node']['v1']['NodeDaemonService'] {
  const definition = fromJSON(parsedProto as Parameters<typeof fromJSON>[0], LOADER_OPTIONS)
  return (grpc.loadPackageDefinition(definition) as unknown as ProtoGrpcType).limiquantix.node.v1.NodeDaemonService
}
