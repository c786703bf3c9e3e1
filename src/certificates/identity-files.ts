import { mkdir, readFile, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { AgentError, errorText } from '../core/errors.ts'
import { readTextIfPresent, syncDirectory, writeFileAtomic } from '../platform/files.ts'

/** Where certificate, key and authorities are; all absolute. */
export interface IdentityPaths {
  readonly cert: string
  readonly key: string
  /** Authorities of clients. */
  readonly ca: string
}

/** Who put a certificate there: the agent for one of these, else it is `files`. */
export type CertificateOrigin = 'self-signed' | 'uploaded' | 'issued' | 'acme' | 'enrolled' | 'files'

/** What the files say. A missing one is undefined. */
export interface IdentityTexts {
  readonly chain: string | undefined
  readonly key: string | undefined
  readonly ca: string | undefined
  readonly origin: CertificateOrigin
  /** Who signed it and can renew it, for `enrolled`. */
  readonly server: string | undefined
}

/** What `writeIdentity` is to put there; what is absent stays. */
export interface NewIdentity {
  readonly pair?: {
    readonly key: string
    readonly chain: string
    readonly origin: CertificateOrigin
    /** Of an enrolled one: the address of the server that renews it. */
    readonly server?: string
  }
  readonly ca?: string
}

// A line outside of the PEM blocks, which every reader passes over. It goes when somebody puts another file there.
const MARK = '# made by limiquantix-node: '
const ORIGINS: readonly CertificateOrigin[] = ['self-signed', 'uploaded', 'issued', 'acme', 'enrolled']

/**
 * Replaces the files so that a kill at any line leaves the old set or, after the next `finishWriting`, the new one, and never a key beside another's
 * certificate: the whole set is first put down in one file (0600). CERTIFICATE_NOT_WRITABLE.
 */
export async function writeIdentity(paths: IdentityPaths, identity: NewIdentity): Promise<void> {
  await writing(paths, async () => {
    for (const file of Object.values(paths)) await mkdir(path.dirname(file), { recursive: true, mode: 0o755 })
    await writeFileAtomic(pendingFile(paths), JSON.stringify(identity))
    await finish(paths, identity)
  })
}

/** Completes what a kill interrupted; before the first reading. CERTIFICATE_NOT_WRITABLE. */
export async function finishWriting(paths: IdentityPaths): Promise<void> {
  const text = await readTextIfPresent(pendingFile(paths))
  if (text !== undefined) await writing(paths, () => finish(paths, JSON.parse(text) as NewIdentity))
}

/** Reads the files as they are. CERTIFICATE_INVALID for one that is there and cannot be read. */
export async function readIdentityTexts(paths: IdentityPaths): Promise<IdentityTexts> {
  const [chain, key, ca] = await Promise.all([paths.cert, paths.key, paths.ca].map(readText))
  const [word, server] = (chain?.split('\n').find((line) => line.startsWith(MARK)) ?? '').slice(MARK.length).split(' ')
  const origin = ORIGINS.find((one) => one === word) ?? 'files'
  return { chain, key, ca, origin, server }
}

/** Changes whenever one of the files, or of `others`, is replaced or written to. */
export async function identitySignature(paths: IdentityPaths, others: readonly string[] = []): Promise<string> {
  const parts = await Promise.all(
    [paths.cert, paths.key, paths.ca, ...others].map(async (file) => {
      try {
        const { ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true })
        return `${ino}:${size}:${mtimeNs}:${ctimeNs}`
      } catch {
        return '-'
      }
    }),
  )
  return parts.join(' ')
}

async function finish(paths: IdentityPaths, { pair, ca }: NewIdentity): Promise<void> {
  if (pair !== undefined) {
    await writeFileAtomic(paths.key, pair.key, 0o600)
    const mark = [pair.origin, ...(pair.server === undefined ? [] : [pair.server])].join(' ')
    await writeFileAtomic(paths.cert, `${MARK}${mark}\n${pair.chain}`, 0o644)
  }
  if (ca !== undefined) await writeFileAtomic(paths.ca, ca, 0o644)
  await rm(pendingFile(paths), { force: true })
  await syncDirectory(path.dirname(paths.key))
}

async function writing(paths: IdentityPaths, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    const text = `the certificate files ${paths.cert} and ${paths.key} cannot be written: ${errorText(error)}`
    throw new AgentError('CERTIFICATE_NOT_WRITABLE', text, { cause: error })
  }
}

async function readText(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new AgentError('CERTIFICATE_INVALID', `${file} cannot be read: ${errorText(error)}`, { cause: error })
  }
}

function pendingFile(paths: IdentityPaths): string {
  return `${paths.key}.next`
}
