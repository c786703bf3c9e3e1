import {
  isMap,
  isScalar,
  Lexer,
  LineCounter,
  parseDocument,
  visit,
  type Document,
  type Scalar,
  type YAMLMap,
} from 'yaml'
import { AgentError } from '../core/errors.ts'

/** The four documents of the NoCloud data source, as error texts name them. */
export type DocumentName = 'user-data' | 'meta-data' | 'network-config' | 'vendor-data'

/** cloud-init reads YAML 1.1, in which `yes`, `0644` and `12:30` are not strings: we have to read and write what it reads. */
const YAML_OPTIONS = {
  version: '1.1',
  prettyErrors: false,
  // The parser compares every key with every other one; the check below takes a fraction of a second for any document.
  uniqueKeys: false,
  strict: true,
  logLevel: 'silent',
} as const

/** One megabyte of text is far beyond what a guest's cloud-init accepts from any cloud. */
const MAX_BYTES = 1024 * 1024

/** Some 5,000 lines of keys with their values. Files and scripts inside a document are one token each, however long. */
const MAX_TOKENS = 50_000

const MAC_ADDRESS = /^(?:[0-9]{2}:){5}[0-9]{2}$/

/** CLOUD_INIT_INVALID for `name`; `why` never quotes the document, which may hold secrets. */
export function refuse(name: DocumentName, why: string): AgentError {
  return new AgentError('CLOUD_INIT_INVALID', `cloud-init ${name}: ${why}`, { details: { document: name } })
}

/** The text with a byte order mark removed and line ends unified; CLOUD_INIT_INVALID when it is too long or binary. */
export function cleanText(name: DocumentName, text: string): string {
  if (Buffer.byteLength(text) > MAX_BYTES) throw refuse(name, 'it is larger than 1 MiB')
  if (/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/.test(text)) throw refuse(name, 'it has control characters')
  if (!text.isWellFormed()) throw refuse(name, 'it is not valid Unicode text')
  return text.replace(/^\uFEFF/, '').replace(/\r\n?/g, '\n')
}

/**
 * Parses one YAML document; undefined when it holds nothing but comments. `lineOffset` is the number of lines cut off before `text`. CLOUD_INIT_INVALID
 * tells the line and column and the parser's error code.
 */
export function parseYaml(name: DocumentName, text: string, lineOffset = 0): Document.Parsed | undefined {
  refuseTooMany(name, text)
  const lines = new LineCounter()
  const document = parseDocument(text, { ...YAML_OPTIONS, lineCounter: lines })
  // An unknown tag is only a warning here, but an error for cloud-init.
  const refuseAt = (offset: number, why: string) => {
    const { line, col } = lines.linePos(offset)
    return refuse(name, `line ${line + lineOffset}, column ${col}: not valid YAML (${why})`)
  }
  const problem = document.errors[0] ?? document.warnings[0]
  if (problem !== undefined) throw refuseAt(problem.pos[0], problem.code.toLowerCase().replaceAll('_', ' '))
  const anchors = new Set<string>()
  const addAnchor = (_: unknown, { anchor }: { anchor?: string }) => void (anchor !== undefined && anchors.add(anchor))
  visit(document, {
    Map(_, map) {
      addAnchor(_, map)
      const twin = repeatedKey(map)
      if (twin !== undefined) throw refuseAt(twin, 'duplicate key')
      const merged = map.items.find(({ key, value }) => isMergeKey(key) && isScalar(value))
      if (merged !== undefined) throw refuseAt((merged.key as Scalar).range?.[0] ?? 0, 'merge of a scalar')
    },
    Seq: addAnchor,
    Alias(_, alias) {
      if (!anchors.has(alias.source)) throw refuseAt(alias.range?.[0] ?? 0, 'unresolved alias')
    },
    Scalar(_, scalar) {
      addAnchor(_, scalar)
      // YAML 1.1 reads an unquoted address of decimal digits as a number of base 60; nobody ever means that.
      if (typeof scalar.value === 'number' && MAC_ADDRESS.test(scalar.source ?? '')) {
        scalar.value = scalar.source
        scalar.type = 'QUOTE_DOUBLE'
      }
    },
  })
  const root = document.contents
  return root === null || (isScalar(root) && root.value === null) ? undefined : document
}

// Splitting into tokens is quick and can be stopped; what follows it blocks everything else for as long as it takes.
function refuseTooMany(name: DocumentName, text: string): void {
  let tokens = 0
  for (const _ of new Lexer().lex(text)) {
    if (++tokens > MAX_TOKENS) throw refuse(name, 'it has too many parts; keep it below 5,000 lines of keys and lists')
  }
}

function isMergeKey(key: unknown): boolean {
  return isScalar(key) && key.source === '<<' && key.type === 'PLAIN'
}

// Position of a key that is there twice; merge keys may be.
function repeatedKey(map: YAMLMap): number | undefined {
  const keys = new Set<unknown>()
  for (const { key } of map.items) {
    if (!isScalar(key) || isMergeKey(key)) continue
    if (keys.has(key.value)) return key.range?.[0] ?? 0
    keys.add(key.value)
  }
  return undefined
}

/** The mapping at the root of a document; CLOUD_INIT_INVALID when it is a list or a scalar. */
export function rootMap(name: DocumentName, document: Document): YAMLMap {
  if (!isMap(document.contents)) throw refuse(name, 'it has to be a mapping of keys to values')
  return document.contents
}

/** The document as YAML text that cloud-init reads the same way. Long lines are not folded, so scripts and keys keep their shape. */
export function writeYaml(document: Document): string {
  return document.toString({ lineWidth: 0, indent: 2 })
}
