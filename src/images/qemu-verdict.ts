import { silentLogger } from '../core/context.ts'
import { isAgentError } from '../core/errors.ts'
import type { ConfinementKind } from '../platform/confinement.ts'
import { checkForeignImage, foreignImageInfo } from '../storage/qemu-img-foreign.ts'
import { imageFormat } from './formats/formats.ts'
import { ImageRefusal } from './formats/refusal.ts'
import { imageRefused, type ImageHeader } from './image-header.ts'

/** Throws IMAGE_REFUSED unless `qemu-img info`, told the format, sees what our parser saw. Tells how it was confined. */
export async function agreeWithQemu(path: string, header: ImageHeader, signal: AbortSignal): Promise<ConfinementKind> {
  const { driver } = imageFormat(header.format)
  const ctx = { signal, log: silentLogger }
  const info = await foreignImageInfo({ path, driver }, ctx).catch((error: unknown) => refuse(path, 'info', error))
  const plain = info.backingFile === undefined && info.dataFile === undefined && !info.encrypted
  if (info.format === driver && info.virtualSizeBytes === header.virtualSizeBytes && plain) return info.confinement
  throw imageRefused(path, new ImageRefusal('QEMU_DISAGREES', 'is read differently by qemu-img and by the agent'))
}

/** Throws IMAGE_REFUSED when `qemu-img check` finds an entry of the tables that leads outside the file, or tables that contradict each other. */
export async function checkWithQemu(path: string, header: ImageHeader, signal: AbortSignal): Promise<void> {
  const { driver, checkable } = imageFormat(header.format)
  if (!checkable) return
  const ctx = { signal, log: silentLogger }
  await checkForeignImage({ path, driver }, ctx).catch((error: unknown) => refuse(path, 'check', error))
}

function refuse(path: string, command: string, error: unknown): never {
  if (!isAgentError(error, 'COMMAND_FAILED')) throw error
  const text = `is refused by qemu-img ${command}: ${error.message}`
  throw imageRefused(path, new ImageRefusal('QEMU_REFUSED', text), error)
}
