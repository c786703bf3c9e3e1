import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { AgentError, errorText } from '../../core/errors.ts'

/** A set of public keys as gpgv(1) reads it: binary, or a keybox. */
export interface Keyring {
  readonly name: string
  readonly keys: Buffer
}

const MAX_FILES = 200

/**
 * The pinned public keys: every `*.gpg`, `*.kbx` and `*.asc` of `directory`, armor taken off; none when there is no such directory. Throws CONFIG_INVALID for a file that cannot be read or is
 * not what its name says.
 */
export async function readKeyrings(directory: string): Promise<Keyring[]> {
  let names: string[]
  try {
    names = (await readdir(directory)).filter((name) => /\.(gpg|kbx|asc)$/.test(name)).sort()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw unreadable(directory, errorText(error))
  }
  if (names.length > MAX_FILES) throw unreadable(directory, `it has more than ${MAX_FILES} key files`)
  return Promise.all(
    names.map(async (name) => {
      const file = path.join(directory, name)
      const content = await readFile(file).catch((error: unknown) => {
        throw unreadable(file, errorText(error))
      })
      return { name, keys: name.endsWith('.asc') ? dearmored(content.toString('latin1'), file) : content }
    }),
  )
}

const ARMOR = /-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n([^]*?)-----END PGP PUBLIC KEY BLOCK-----/g

// RFC 9580, 6.2: headers up to an empty line, base64, a checksum line that begins with =.
function dearmored(text: string, file: string): Buffer {
  const blocks = [...text.matchAll(ARMOR)].map((match) => {
    const body = (match[1] ?? '').replace(/^(?:[\w-]+: .*\r?\n)*\r?\n/, '').replace(/^=[A-Za-z0-9+/]{4}\r?$/m, '')
    return Buffer.from(body, 'base64')
  })
  if (blocks.length === 0) throw unreadable(file, 'it has no armored public key')
  return Buffer.concat(blocks)
}

function unreadable(place: string, why: string): AgentError {
  return new AgentError('CONFIG_INVALID', `images.keyrings_dir: ${place} cannot be used: ${why}`)
}
