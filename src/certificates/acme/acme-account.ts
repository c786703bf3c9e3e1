import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdir, rename } from 'node:fs/promises'
import path from 'node:path'
import { z } from 'zod'
import { AgentError, errorText } from '../../core/errors.ts'
import { readTextIfPresent, writeFileAtomic } from '../../platform/files.ts'

const record = z.object({
  directoryUrl: z.string(),
  email: z.string(),
  /** Absent until the server has answered. */
  accountUrl: z.string().optional(),
  privateKey: z.string(),
})

/** An account at an ACME server, as it is kept on disk (0600). */
export interface AcmeAccount {
  readonly directoryUrl: string
  readonly email: string
  readonly accountUrl: string | undefined
  readonly key: KeyObject
}

/** The account in `file`; undefined without one for this server. */
export async function readAccount(file: string, directoryUrl: string): Promise<AcmeAccount | undefined> {
  const known = parse(await readTextIfPresent(file))
  if (known?.directoryUrl !== directoryUrl) return undefined
  return { ...known, accountUrl: known.accountUrl, key: createPrivateKey(known.privateKey) }
}

/** An account with a new key that no server knows yet. */
export function newAccount(directoryUrl: string, email: string): AcmeAccount {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return { directoryUrl, email, accountUrl: undefined, key: privateKey }
}

/** Writes it down; another server's account, or what is none of ours, is set aside as `<file>.former`. CERTIFICATE_NOT_WRITABLE. */
export async function writeAccount(file: string, { key, ...account }: AcmeAccount): Promise<void> {
  const privateKey = key.export({ type: 'pkcs8', format: 'pem' }).toString()
  try {
    await mkdir(path.dirname(file), { recursive: true, mode: 0o700 })
    const text = await readTextIfPresent(file)
    if (text !== undefined && parse(text)?.directoryUrl !== account.directoryUrl) await rename(file, `${file}.former`)
    await writeFileAtomic(file, `${JSON.stringify({ ...account, privateKey }, null, 2)}\n`)
  } catch (error) {
    const message = `the ACME account file ${file} cannot be written: ${errorText(error)}`
    throw new AgentError('CERTIFICATE_NOT_WRITABLE', message, { cause: error })
  }
}

function parse(text: string | undefined): z.output<typeof record> | undefined {
  try {
    return record.parse(JSON.parse(text ?? ''))
  } catch {
    return undefined
  }
}
