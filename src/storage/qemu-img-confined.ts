import type { OpContext } from '../core/context.ts'
import { isAgentError } from '../core/errors.ts'
import { runConfined, type ConfinedCommand } from '../platform/confine.ts'
import { qemuImgError } from './qemu-img.ts'

/** Runs qemu-img with nothing but what `command` names. Errors: those of `run`, POOL_FULL. */
export async function confinedQemuImg(
  command: Omit<ConfinedCommand, 'file' | 'package' | 'maxOutputBytes'>,
  { signal }: Pick<OpContext, 'signal'>,
): ReturnType<typeof runConfined> {
  try {
    const tool = { ...command, file: 'qemu-img', package: 'qemu-utils', maxOutputBytes: 1024 * 1024 }
    return await runConfined(tool, signal)
  } catch (error) {
    throw isAgentError(error, 'COMMAND_FAILED') ? qemuImgError(error) : error
  }
}
