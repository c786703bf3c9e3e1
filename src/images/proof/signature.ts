import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { AgentError } from '../../core/errors.ts'
import { MIB } from '../../core/bytes.ts'
import { runConfined } from '../../platform/confine.ts'
import { clearsignedText } from './clearsigned.ts'
import type { Keyring } from './keyring.ts'

/** Text that is proven to be what the holder of a pinned key signed. */
export interface SignedText {
  readonly text: string
  /** Fingerprint of the primary key, upper-case hex. */
  readonly signer: string
}

/** A text with its signature: detached, or in the text itself (`clear`). */
export type Signature = { readonly type: 'clear' } | { readonly type: 'detached'; readonly bytes: Buffer }

const TIMEOUT_MS = 30_000
const LIMITS = { addressSpaceBytes: 512 * MIB, cpuSeconds: 20, fileBytes: 0 }

/**
 * Checks with gpgv(1), which sees nothing but these, that a key of `keyrings` signed `text`, and returns what was signed: for a clear-signed message only what is inside the signature. Expired and revoked keys do not
 * count, and one bad signature beside good ones refuses all. Errors: SIGNATURE_INVALID (with `details.cause` `unknown-key` when no pinned key made it), COMMAND_MISSING.
 */
export async function verifySignature(
  text: Buffer,
  signature: Signature,
  keyrings: readonly Keyring[],
  signal: AbortSignal,
): Promise<SignedText> {
  if (signature.type === 'clear' && clearsignedText(text.toString('utf8')) === undefined) {
    throw invalid('it is not one clear-signed message')
  }
  if (keyrings.length === 0) throw invalid('images.keyrings_dir has no keys', 'unknown-key')
  const scratch = await mkdtemp(path.join(tmpdir(), 'lqx-proof-'))
  try {
    const put = async (name: string, bytes: Uint8Array) => {
      const file = path.join(scratch, name)
      await writeFile(file, bytes)
      return file
    }
    const keyFiles = await Promise.all(keyrings.map(({ keys }, index) => put(`${index}.gpg`, keys)))
    const detached = signature.type === 'detached' ? [await put('signature', signature.bytes)] : []
    const given = [...detached, await put('text', text)]
    const { exitCode, stdout, stderr } = await runConfined(
      {
        file: 'gpgv',
        package: 'gpgv',
        args: (inside) => [
          ...['--homedir', '/', '--status-fd', '2', '--weak-digest', 'SHA1', '--log-file', '/dev/null'],
          ...keyFiles.flatMap((file) => ['--keyring', inside(file)]),
          ...(signature.type === 'clear' ? ['--output', '-'] : []),
          ...given.map(inside),
        ],
        access: { reads: [...keyFiles, ...given], writes: [] },
        limits: LIMITS,
        timeoutMs: TIMEOUT_MS,
        okCodes: [1, 2],
      },
      signal,
    )
    const signer = goodSigner(stderr, exitCode)
    return { text: signature.type === 'detached' ? text.toString('utf8') : stdout, signer }
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

// The machine-readable status lines (doc/DETAILS of GnuPG). The exit code alone is 2 also for a good signature beside one of an unknown key.
function goodSigner(status: string, exitCode: number): string {
  const lines = status.split('\n').flatMap((line) => {
    const [mark, word, ...rest] = line.split(' ')
    return mark === '[GNUPG:]' && word !== undefined ? [{ word, rest }] : []
  })
  const has = (...words: string[]) => lines.some(({ word }) => words.includes(word))
  if (has('BADSIG')) throw invalid('a signature does not fit the text: it was changed')
  if (has('REVKEYSIG')) throw invalid('the key that signed it was revoked')
  if (has('EXPKEYSIG', 'EXPSIG')) throw invalid('the key or the signature has expired')
  if (has('ERROR', 'FAILURE', 'NODATA', 'BADARMOR', 'UNEXPECTED')) throw invalid('gpgv cannot read the signature')
  const good = lines.findIndex(({ word }) => word === 'GOODSIG')
  const valid = lines.slice(good + 1).find(({ word }) => word === 'VALIDSIG')
  const signer = valid?.rest.at(-1) ?? ''
  if (good >= 0 && /^[0-9A-F]{40,64}$/.test(signer)) return signer
  const unknown = lines.filter(({ word }) => word === 'NO_PUBKEY').map(({ rest }) => rest[0] ?? '')
  if (unknown.length > 0) throw invalid(`no pinned key made it (it is of key ${unknown.join(', ')})`, 'unknown-key')
  throw invalid(`gpgv found no good signature (exit code ${exitCode})`)
}

function invalid(why: string, cause = 'invalid'): AgentError {
  return new AgentError('SIGNATURE_INVALID', `the signature of the sums file is refused: ${why}`, {
    details: { cause },
  })
}
