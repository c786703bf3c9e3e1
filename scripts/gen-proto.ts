/**
 * Generates src/grpc/gen from proto/: the TypeScript types of the messages, and the parsed proto as JSON, which the agent loads in a third of the
 * time that parsing takes at every start. Deterministic: the same proto gives the same bytes, and files of messages that are gone do not stay.
 */
import { execFileSync } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadProtosWithOptionsSync } from '@grpc/proto-loader/build/src/util.js'
import { generatorFlags, LOADER_OPTIONS, PROTO_FILE } from '../src/grpc/loader-options.ts'

const root = join(import.meta.dirname, '..')
const outDir = join('src', 'grpc', 'gen')
const generator = join('node_modules', '@grpc', 'proto-loader', 'build', 'bin', 'proto-loader-gen-types.js')

rmSync(join(root, outDir), { recursive: true, force: true })
// The generator writes source paths relative to its working directory into the files, so that is always the project root.
execFileSync(process.execPath, [generator, ...generatorFlags(), '-I', 'proto', '-O', outDir, PROTO_FILE], {
  cwd: root,
  stdio: ['ignore', 'ignore', 'inherit'],
})
const parsed = loadProtosWithOptionsSync(PROTO_FILE, { ...LOADER_OPTIONS, includeDirs: [join(root, 'proto')] })
parsed.resolveAll()
writeFileSync(join(root, outDir, 'node_daemon.json'), `${JSON.stringify(parsed.toJSON(), null, 1)}\n`)
