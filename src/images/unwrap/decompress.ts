import { MIB } from '../../core/bytes.ts'
import { AgentError, isAgentError } from '../../core/errors.ts'
import type { ByteStream } from '../../platform/byte-stream.ts'
import { runFilter } from '../../platform/filter-process.ts'
import type { FileSignature } from '../file-signature.ts'

interface Decompressor {
  readonly file: string
  readonly args: readonly string[]
  readonly package: string
}

/** More than the largest window and dictionary that the tools use without being told to. */
const MAX_MEMORY_BYTES = 1024 * MIB

/** How each compression is taken off; all of them read concatenated streams to the end. One that is added here is known everywhere. */
const DECOMPRESSORS: Readonly<Partial<Record<FileSignature, Decompressor>>> = {
  gzip: { file: 'gzip', args: ['-dc'], package: 'gzip' },
  xz: { file: 'xz', args: ['-dc', '--format=xz', '--memlimit-decompress=512MiB'], package: 'xz-utils' },
  zstd: { file: 'zstd', args: ['-dcq', '--memory=512MB'], package: 'zstd' },
  bzip2: { file: 'bzip2', args: ['-dc'], package: 'bzip2' },
}

/** True when `signature` is that of a compressed stream that can be decompressed. */
export function isCompressed(signature: FileSignature): boolean {
  return DECOMPRESSORS[signature] !== undefined
}

/** The bytes inside a compressed stream. Errors: WRAPPER_DAMAGED, COMMAND_MISSING, what `input` throws, the abort reason. */
export function decompress(
  signature: FileSignature,
  input: { readonly fd: number } | AsyncIterable<Buffer>,
  signal: AbortSignal,
): ByteStream {
  const tool = DECOMPRESSORS[signature]
  if (tool === undefined) throw new RangeError(`${signature} is no compression`)
  const output = runFilter({ ...tool, input, maxMemoryBytes: MAX_MEMORY_BYTES }, signal)
  const rethrow = (error: unknown): never => {
    if (!isAgentError(error, 'COMMAND_FAILED')) throw error
    throw new AgentError('WRAPPER_DAMAGED', `the ${signature} stream cannot be read: ${error.message}`, {
      cause: error,
    })
  }
  return {
    async *[Symbol.asyncIterator]() {
      try {
        yield* output
      } catch (error) {
        rethrow(error)
      }
    },
    pour: (memory) => output.pour(memory, signal).catch(rethrow),
  }
}
