import { createPrivateKey } from 'node:crypto'
import { mkdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { AgentError, errorText } from '../../core/errors.ts'
import { readTextIfPresent, writeFileAtomic } from '../../platform/files.ts'
import { makeKey } from '../../platform/openssl.ts'

/**
 * The key of the next certificate, in a file of its own (0600) from before it is asked for until it is installed: an authority that signs later, or once per
 * token, is asked again with the same key, also after a kill.
 */
export class PendingKey {
  readonly file: string

  constructor(file: string) {
    this.file = file
  }

  /** The key that waits, or a new one; never the one in use. CERTIFICATE_NOT_WRITABLE. */
  async take(inUse: string | undefined): Promise<string> {
    const waiting = await readTextIfPresent(this.file)
    // A kill after the installation left it there.
    if (waiting !== undefined && isKey(waiting) && waiting !== inUse) return waiting
    const key = makeKey()
    try {
      await mkdir(path.dirname(this.file), { recursive: true, mode: 0o755 })
      await writeFileAtomic(this.file, key, 0o600)
    } catch (error) {
      const text = `${this.file} cannot be written: ${errorText(error)}`
      throw new AgentError('CERTIFICATE_NOT_WRITABLE', text, { cause: error })
    }
    return key
  }

  /** After its certificate was installed. */
  async drop(): Promise<void> {
    await rm(this.file, { force: true })
  }
}

function isKey(pem: string): boolean {
  try {
    createPrivateKey(pem)
    return true
  } catch {
    return false
  }
}
