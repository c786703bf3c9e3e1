import type { OpContext } from '../../core/context.ts'
import { AgentError } from '../../core/errors.ts'
import { delay, monotonicMs } from '../../platform/clock.ts'
import { run } from '../../platform/exec.ts'
import { hasWriter } from '../../storage/qemu-img.ts'

const TIMEOUT_MS = 24 * 60 * 60_000
const CLOSE_TIMEOUT_MS = 60_000
const CLOSE_POLL_MS = 200

/** Waits until QEMU has closed an image that it wrote to: libvirt calls a backup done a moment before. Errors: BACKUP_FAILED after a minute, those of `hasWriter`. */
export async function untilClosed(path: string, ctx: OpContext): Promise<void> {
  const deadline = monotonicMs() + CLOSE_TIMEOUT_MS
  while (await hasWriter(path, 'qcow2', ctx)) {
    if (monotonicMs() > deadline) throw new AgentError('BACKUP_FAILED', `QEMU does not close ${path}`)
    await delay(CLOSE_POLL_MS, ctx.signal)
  }
}

/** SHA-256 of a file, hexadecimal. Errors: those of `run`. */
export async function fileDigest(path: string, ctx: OpContext): Promise<string> {
  const { stdout } = await run(
    { file: 'sha256sum', args: ['--zero', '--', path], package: 'coreutils', timeoutMs: TIMEOUT_MS },
    ctx.signal,
  )
  const digest = /^[0-9a-f]{64}/.exec(stdout)?.[0]
  if (digest === undefined) throw new AgentError('COMMAND_FAILED', `sha256sum of ${path} printed no digest`)
  return digest
}
