import { createHash, type Hash } from 'node:crypto'
import { AgentError } from '../../core/errors.ts'
import { damaged } from './member.ts'

/** Of OVF 1 and 2; a manifest uses any of them for any file. */
const ALGORITHMS = ['sha1', 'sha256', 'sha512'] as const
type Algorithm = (typeof ALGORITHMS)[number]

interface Wanted {
  readonly algorithm: Algorithm
  readonly hex: string
}

const LINE = /^(SHA1|SHA256|SHA512)\s*\((.+)\)\s*=\s*([0-9a-f]+)$/i

/** Where a manifest is kept in memory. */
export const MAX_OVA_MANIFEST_BYTES = 1024 * 1024

/** Whether a file of an appliance is its manifest. */
export function isOvaManifest(name: string): boolean {
  return /\.mf$/i.test(name)
}

/** Whether an archive whose first file has this name is an appliance (DSP0243: its descriptor comes first). */
export function isAppliance(firstName: string): boolean {
  return /\.ovf$/i.test(firstName)
}

/** The digests of an appliance's files, taken while they pass, and held against its manifest, which may come before or behind them (DSP0243, 6 and 9.1). */
export class OvaDigests {
  readonly #hashes = new Map<string, Map<Algorithm, Hash>>()
  #manifest: { readonly name: string; readonly wanted: ReadonlyMap<string, Wanted> } | undefined

  /** Takes the manifest. Error: WRAPPER_DAMAGED. */
  setManifest(name: string, text: string): void {
    if (this.#manifest !== undefined) throw damaged('tar', 'it has two manifests')
    this.#manifest = { name, wanted: parseManifest(name, text) }
  }

  /** Begins with a file; the function takes its bytes. */
  begin(name: string): (bytes: Buffer) => void {
    const wanted = this.#manifest?.wanted.get(plain(name))?.algorithm
    const algorithms = this.#manifest === undefined ? ALGORITHMS : wanted === undefined ? [] : [wanted]
    const hashes = new Map(algorithms.map((algorithm) => [algorithm, createHash(algorithm)]))
    this.#hashes.set(plain(name), hashes)
    return (bytes) => {
      for (const hash of hashes.values()) hash.update(bytes)
    }
  }

  /** After the last file: everything is what the manifest says, if there is one. `image` is the file that is taken. Errors: CHECKSUM_MISMATCH, WRAPPER_DAMAGED. */
  check(image: string): void {
    if (this.#manifest === undefined) return
    const { name, wanted } = this.#manifest
    if (!wanted.has(plain(image))) throw damaged('tar', `its manifest ${name} does not have ${image}`)
    for (const [file, { algorithm, hex }] of wanted) {
      const digest = this.#hashes.get(file)?.get(algorithm)?.digest('hex')
      if (digest === undefined) throw damaged('tar', `${file}, which its manifest ${name} has, is missing`)
      if (digest === hex) continue
      throw new AgentError(
        'CHECKSUM_MISMATCH',
        `${file} of the appliance has the ${algorithm} ${digest}, but its manifest ${name} says ${hex}`,
      )
    }
  }
}

function parseManifest(name: string, text: string): Map<string, Wanted> {
  const wanted = new Map<string, Wanted>()
  for (const line of text.split(/\r?\n/).map((each) => each.trim())) {
    if (line === '') continue
    const [, algorithm = '', file = '', hex = ''] = LINE.exec(line) ?? []
    if (file === '') throw damaged('tar', `its manifest ${name} has a line that is none: ${line.slice(0, 80)}`)
    if (wanted.has(plain(file))) throw damaged('tar', `its manifest ${name} has ${file} twice`)
    wanted.set(plain(file), { algorithm: algorithm.toLowerCase() as Algorithm, hex: hex.toLowerCase() })
  }
  return wanted
}

function plain(name: string): string {
  return name.replace(/^(\.\/)+/, '')
}
