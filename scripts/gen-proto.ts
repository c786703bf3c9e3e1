/**
 * Generates the TypeScript types of the gRPC messages into src/grpc/gen from proto/. Deterministic: the same proto gives the same bytes, and
 * files of messages that are gone do not stay.
 */
import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { generatorFlags, PROTO_FILE } from '../src/grpc/loader-options.ts'

const root = join(import.meta.dirname, '..')
const outDir = join('src', 'grpc', 'gen')
const generator = join('node_modules', '@grpc', 'proto-loader', 'build', 'bin', 'proto-loader-gen-types.js')

rmSync(join(root, outDir), { recursive: true, force: true })
// The generator writes source paths relative to its working directory into the files, so that is always the project root.
execFileSync(process.execPath, [generator, ...generatorFlags(), '-I', 'proto', '-O', outDir, PROTO_FILE], {
  cwd: root,
  stdio: ['ignore', 'ignore', 'inherit'],
})
