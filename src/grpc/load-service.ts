import * as grpc from '@grpc/grpc-js'
import { fromJSON, loadSync, type MessageTypeDefinition, type PackageDefinition } from '@grpc/proto-loader'
import parsedProto from './gen/node_daemon.json' with { type: 'json' }
import type { ProtoGrpcType } from './gen/node_daemon.ts'
import { LOADER_OPTIONS, PROTO_FILE, protoRoot } from './loader-options.ts'

/** Full name of the service. */
export const SERVICE_NAME = 'limiquantix.node.v1.NodeDaemonService'

/** The service as grpc-js wants it (definition for a server, constructor for a client), from the parsed proto. */
export function loadNodeDaemonService(): ProtoGrpcType['limiquantix']['node']['v1']['NodeDaemonService'] {
  const definition = fromJSON(parsedProto as Parameters<typeof fromJSON>[0], LOADER_OPTIONS)
  return (grpc.loadPackageDefinition(definition) as unknown as ProtoGrpcType).limiquantix.node.v1.NodeDaemonService
}

/** The package for reflection, from the proto file: with the field names as they are written there, so that tools accept both spellings. */
export function loadPackageForReflection(): PackageDefinition {
  const loaded = loadSync(PROTO_FILE, { ...LOADER_OPTIONS, keepCase: true, includeDirs: [protoRoot()] })
  return Object.fromEntries(
    Object.entries(loaded).map(([name, entry]) => {
      const files = (entry as Partial<MessageTypeDefinition<object, object>>).fileDescriptorProtos
      return [name, Array.isArray(files) ? { ...entry, fileDescriptorProtos: files.map(withDependency) } : entry]
    }),
  ) as PackageDefinition
}

const OUR_FILE = fileName('limiquantix_node_v1.proto')
const GOOGLE_FILE = 'google_protobuf.proto'

// The loader makes one file of each package and leaves out that ours imports google's, without which strict tools refuse it. Fields of a protobuf
// message may come in any order, so the import (field 3, repeated) is appended.
function withDependency(file: Buffer): Buffer {
  if (!file.subarray(0, OUR_FILE.length).equals(OUR_FILE)) return file
  return Buffer.concat([file, Buffer.of((3 << 3) | 2, GOOGLE_FILE.length), Buffer.from(GOOGLE_FILE)])
}

// FileDescriptorProto.name, its first field.
function fileName(name: string): Buffer {
  return Buffer.concat([Buffer.of((1 << 3) | 2, name.length), Buffer.from(name)])
}
