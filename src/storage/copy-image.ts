import path from 'node:path'
import { MIB } from '../core/bytes.ts'
import type { OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import type { DiskFormat } from '../core/model.ts'
import { hostConfinement } from '../platform/confine.ts'
import type { ConfinementKind } from '../platform/confinement.ts'
import type { CopyOptions } from './backend.ts'
import { confinedQemuImg } from './qemu-img-confined.ts'
import { foreignImageInfo, sourceArguments } from './qemu-img-foreign.ts'
import { confinedFileName, placeAccess, placeText, type ConvertSource, type ImagePlace } from './qemu-img.ts'
import { defaultStallTimeoutMs, withStallTimeout } from './stall-timeout.ts'

/** The real limit is the time without progress; this one is for a copy that goes on for ever. */
const MAX_COPY_MS = 7 * 24 * 60 * 60_000
const MAX_THREADS = 64
const MAX_LAYERS = 200

/** Where `copyImage` writes: a file or device that is there, or a Ceph image. */
export interface CopyTarget {
  /** What is written, for errors: `volume web-1 of pool ssd`. */
  readonly name: string
  readonly place: ImagePlace
  readonly format: DiskFormat
  /** It is large enough and reads as zeros; else it is a file that becomes the image whatever was in it. */
  readonly zeroed?: boolean
  /** Compresses a qcow2. */
  readonly compression?: 'zlib' | 'zstd'
  /** Past the page cache: for devices, which then tell of a failed write themselves, and for file systems that can. */
  readonly direct?: boolean
}

/** What is known of the source of a copy. */
export interface CopyFacts {
  readonly virtualSizeBytes: number
  /** As its header has it; it is followed downwards. */
  readonly backingFile?: string
  readonly backingFormat?: string
}

/**
 * A full, sparse copy of an image or volume: the one way in which image data gets into files, devices and Ceph images. qemu-img is confined to what it copies; a Ceph image brings the network and its keyring with it.
 * Answers how it was confined. Ends with DEADLINE_EXCEEDED when it is silent for too long. Errors: those of confinedQemuImg.
 */
export async function copyImage(
  source: ConvertSource,
  target: CopyTarget,
  facts: CopyFacts,
  ctx: OpContext,
  { onCopy, stallTimeoutMs }: CopyOptions = {},
): Promise<ConfinementKind> {
  const { virtualSizeBytes } = facts
  const below = typeof source.place === 'string' ? await filesBelow(source.place, facts, ctx) : []
  const [from, to] = [placeAccess(source.place), placeAccess(target.place)]
  const isFile = typeof target.place === 'string'
  const { kind: confinement } = await hostConfinement()
  const report = (share: number) =>
    onCopy?.({ bytesDone: Math.floor(share * virtualSizeBytes), bytesTotal: virtualSizeBytes, confinement })
  report(0)
  const patience = {
    timeoutMs: stallTimeoutMs ?? defaultStallTimeoutMs(virtualSizeBytes),
    what: `the copy of ${placeText(source.place)} into ${target.name}`,
  }
  await withStallTimeout(patience, ctx, async (stalling, alive) => {
    await confinedQemuImg(
      {
        args: (inside) => [
          ...['convert', '-p', '-U', '-O', target.format, ...optionsOf(source, target)],
          ...[...sourceArguments(source, inside), confinedFileName(target.place, inside)],
        ],
        access: {
          reads: [...from.files, ...below, ...(isFile ? [] : to.files)],
          writes: isFile ? to.files : [],
          network: from.network || to.network,
        },
        limits: {
          addressSpaceBytes: Math.max(from.addressSpaceBytes, to.addressSpaceBytes),
          openFiles: Math.max(from.openFiles, to.openFiles) + below.length,
          cpuSeconds: (MAX_COPY_MS / 1000) * MAX_THREADS,
          fileBytes: Math.ceil(virtualSizeBytes * 1.05) + 64 * MIB,
        },
        timeoutMs: MAX_COPY_MS,
        onOutput: (text) => {
          const share = /\((\d+(?:\.\d+)?)\/100%\)\s*$/.exec(text)?.[1]
          if (share === undefined) return
          alive()
          report(Number(share) / 100)
        },
      },
      stalling,
    )
  })
  return confinement
}

function optionsOf({ snapshot }: ConvertSource, { zeroed, compression, direct }: CopyTarget): string[] {
  return [
    ...(snapshot === undefined ? [] : ['-l', `snapshot.name=${snapshot}`]),
    ...(zeroed === true ? ['-n', '--target-is-zero'] : []),
    ...(compression === undefined ? [] : ['-c', '-o', `compression_type=${compression}`]),
    ...(direct === true ? ['-t', 'none'] : []),
  ]
}

// Each is looked at on its own, so that the cage has nothing that no header names.
async function filesBelow(place: string, facts: CopyFacts, ctx: OpContext): Promise<string[]> {
  const files: string[] = []
  let [file, { backingFile, backingFormat }] = [place, facts]
  while (backingFile !== undefined) {
    file = path.resolve(path.dirname(file), backingFile)
    if (files.includes(file) || files.length === MAX_LAYERS) {
      throw new AgentError(
        'BACKING_FILE_REFUSED',
        `the backing files of ${place} are a circle, or more than ${MAX_LAYERS}`,
      )
    }
    files.push(file)
    // Layers are qcow2; what is below them without a stated format is never guessed.
    ;({ backingFile, backingFormat } =
      backingFormat === 'qcow2' ? await foreignImageInfo({ path: file, driver: 'qcow2' }, ctx) : {})
  }
  return files
}
