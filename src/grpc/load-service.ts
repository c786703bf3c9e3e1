import * as grpc from '@grpc/grpc-js'
import { loadSync, type PackageDefinition } from '@grpc/proto-loader'
import type { ProtoGrpcType } from './gen/node_daemon.ts'
import { LOADER_OPTIONS, PROTO_FILE, protoRoot } from './loader-options.ts'

/** Full name of the service. */
export const SERVICE_NAME = 'limiquantix.node.v1.NodeDaemonService'

/** The service as grpc-js wants it (definition for a server, constructor for a client), read from the proto. */
export function loadNodeDaemonService(): ProtoGrpcType['limiquantix']['node']['v1']['NodeDaemonService'] {
  const loaded = grpc.loadPackageDefinition(
    loadSync(PROTO_FILE, { ...LOADER_OPTIONS, includeDirs: [protoRoot()] }),
  ) as unknown as ProtoGrpcType
  return loaded.limiquantix.node.v1.NodeDaemonService
}

/** The package for reflection: with the field names of the proto file, so that tools accept both spellings. */
export function loadPackageForReflection(): PackageDefinition {
  return loadSync(PROTO_FILE, { ...LOADER_OPTIONS, keepCase: true, includeDirs: [protoRoot()] })
}
