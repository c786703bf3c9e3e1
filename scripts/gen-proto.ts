/**
 * Generates src/grpc/gen from proto/: the TypeScript types of the messages; the parsed proto as JSON, which the agent loads in a third of the time
 * that parsing takes at every start; and the file descriptors that server reflection hands out. Deterministic: the same proto gives the same bytes,
 * and files of messages that are gone do not stay.
 */
import { execFileSync } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadProtosWithOptionsSync } from '@grpc/proto-loader/build/src/util.js'
import { protoPath as healthProto } from 'grpc-health-check'
import { describeFiles } from './lib/proto-descriptors.ts'
import { generatorFlags, LOADER_OPTIONS, PROTO_FILE } from '../src/grpc/loader-options.ts'

const root = join(import.meta.dirname, '..')
const ERROR_DETAILS_FILE = 'google/rpc/error_details.proto'
const outDir = join('src', 'grpc', 'gen')
const generator = join('node_modules', '@grpc', 'proto-loader', 'build', 'bin', 'proto-loader-gen-types.js')

rmSync(join(root, outDir), { recursive: true, force: true })
// The generator writes source paths relative to its working directory into the files, so that is always the project root.
execFileSync(process.execPath, [generator, ...generatorFlags(), '-I', 'proto', '-O', outDir, PROTO_FILE], {
  cwd: root,
  stdio: ['ignore', 'ignore', 'inherit'],
})
const includeDirs = [join(root, 'proto')]
const parsed = loadProtosWithOptionsSync(PROTO_FILE, { ...LOADER_OPTIONS, includeDirs })
parsed.resolveAll()
write('node_daemon.json', parsed.toJSON())

// Field names as in the proto file here: tools take both spellings then.
const asWritten = loadProtosWithOptionsSync([PROTO_FILE, healthProto, ERROR_DETAILS_FILE], {
  keepCase: true,
  includeDirs,
})
asWritten.resolveAll()
const files = describeFiles(asWritten, {
  'limiquantix.node.v1': PROTO_FILE,
  'google.rpc': ERROR_DETAILS_FILE,
  'grpc.health.v1': 'grpc/health/v1/health.proto',
})
write('descriptors.json', { files: files.map((file) => file.toString('base64')) })

function write(name: string, value: object): void {
  writeFileSync(join(root, outDir, name), `${JSON.stringify(value, null, 1)}\n`)
}
