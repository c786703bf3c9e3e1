import type { Options } from '@grpc/proto-loader'

/** The service definition, relative to the proto root. */
export const PROTO_FILE = 'limiquantix/node/v1/node_daemon.proto'

/**
 * How messages look in JavaScript, for the run-time loader and, through `generatorFlags`, for the types made from the proto. The two must agree.
 * - 64-bit integers are numbers: every size on the wire is below 2^53; larger values arrive as unsafe integers and are refused by the mapping.
 * - enums are numbers: control planes cast foreign enumerations into our fields, so values without a name are normal and a name would hide them.
 * - defaults: absent scalars read as their zero value, as proto3 means them.
 */
export const LOADER_OPTIONS = {
  keepCase: false,
  longs: Number,
  defaults: true,
  oneofs: true,
} as const satisfies Options

/** The same choices as flags of proto-loader-gen-types. Enums are numbers there unless told otherwise. */
export function generatorFlags(): string[] {
  return [
    ...(LOADER_OPTIONS.keepCase ? ['--keepCase'] : []),
    `--longs=${LOADER_OPTIONS.longs.name}`,
    ...(LOADER_OPTIONS.defaults ? ['--defaults'] : []),
    ...(LOADER_OPTIONS.oneofs ? ['--oneofs'] : []),
    '--grpcLib=@grpc/grpc-js',
    '--importFileExtension=.ts',
    '--includeComments',
  ]
}
