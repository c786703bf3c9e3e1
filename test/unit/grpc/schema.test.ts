import { readFileSync } from 'node:fs'
import path from 'node:path'
import { loadSync, type PackageDefinition } from '@grpc/proto-loader'
import { describe, expect, test } from 'vitest'
import { loadNodeDaemonService } from '../../../src/grpc/load-service.ts'
import { PROTO_FILE } from '../../../src/grpc/loader-options.ts'

const PACKAGE = 'limiquantix.node.v1'
const fixture = path.join(import.meta.dirname, '../../../fixtures/contract-schema.tsv')
const contract = readFileSync(fixture, 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))

// google.protobuf.FieldDescriptorProto numbers.
const SCALARS: Record<string, string> = {
  TYPE_DOUBLE: 'double',
  TYPE_UINT64: 'uint64',
  TYPE_UINT32: 'uint32',
  TYPE_BOOL: 'bool',
  TYPE_STRING: 'string',
}

interface Field {
  name: string
  number: number
  label: string
  type: string
  typeName: string
  oneofIndex?: number
}
interface Message {
  name: string
  field: Field[]
  nestedType: Message[]
  oneofDecl: { name: string }[]
  enumType: Enum[]
  options: { mapEntry?: boolean } | null
}
interface Enum {
  name: string
  value: { name: string; number: number }[]
}

// What proto-loader adds to a method definition.
interface Method {
  responseStream: boolean
  requestType: { type: unknown }
  responseType: { type: unknown }
}

/** The proto as the lines of the fixture: kind, owner, number, name, type. */
function protoLines(definition: PackageDefinition): Map<string, string> {
  const lines = new Map<string, string>()
  const add = (...cells: (string | number)[]) => lines.set(cells.slice(0, 4).join('\t'), cells.join('\t'))
  const visitEnum = (name: string, type: Enum) => {
    for (const { number, name: value } of type.value) add('enum', name, number, value, '')
  }
  for (const [fullName, entry] of Object.entries(definition)) {
    const local = fullName.slice(PACKAGE.length + 1)
    if (!fullName.startsWith(`${PACKAGE}.`)) continue
    if (!('format' in entry)) continue
    if (entry.format === 'Protocol Buffer 3 EnumDescriptorProto') visitEnum(local, entry.type as Enum)
    else {
      const message = entry.type as Message
      if (message.field.length === 0) add('message', local, '', '', '(empty)')
      for (const field of message.field) add('field', local, field.number, field.name, typeText(message, field))
      for (const nested of message.enumType) visitEnum(`${local}.${nested.name}`, nested)
    }
  }
  for (const [name, method] of Object.entries(loadNodeDaemonService().service) as unknown as [string, Method][]) {
    const typeOf = (type: unknown) => {
      const message = type as { name: string }
      return message.name === 'Empty' ? 'google.protobuf.Empty' : message.name
    }
    const stream = method.responseStream ? 'stream ' : ''
    add(
      'rpc',
      'NodeDaemonService',
      '',
      name,
      `${typeOf(method.requestType.type)} -> ${stream}${typeOf(method.responseType.type)}`,
    )
  }
  return lines
}

function typeText(message: Message, field: Field): string {
  const map = message.nestedType.find((nested) => nested.options?.mapEntry && field.typeName.endsWith(nested.name))
  if (map) {
    const [key, value] = map.field
    return `map<${SCALARS[key?.type ?? '']}, ${SCALARS[value?.type ?? '']}>`
  }
  const base =
    SCALARS[field.type] ??
    field.typeName
      .replace(/^\./, '')
      .replace(`${PACKAGE}.`, '')
      .replace(/^.*\.(?=Status$)/, '')
  if (field.label === 'LABEL_REPEATED') return `repeated ${base}`
  // The loader describes `optional` as what it is underneath: a oneof of one member, named after the field.
  const oneof = 'oneofIndex' in field ? message.oneofDecl[field.oneofIndex ?? 0]?.name : undefined
  return oneof === `_${field.name}` ? `optional ${base}` : base
}

describe('node_daemon.proto', () => {
  const root = path.join(import.meta.dirname, '../../../proto')
  const ours = protoLines(loadSync(PROTO_FILE, { keepCase: true, includeDirs: [root] }))

  test('has every line of the contract', () => {
    const missing = contract.filter((line) => ours.get(line.split('\t').slice(0, 4).join('\t')) !== line)
    expect(missing).toEqual([])
    expect(contract.length).toBeGreaterThan(350)
  })

  test('adds nothing below field number 100 to messages of the contract, and no values to its enums', () => {
    const known = new Set(contract)
    const owners = new Set(contract.map((line) => line.split('\t')[1]))
    const added = [...ours.values()].filter((line) => {
      const [kind, owner, number] = line.split('\t')
      return !known.has(line) && kind !== 'rpc' && owners.has(owner) && (kind === 'enum' || Number(number) < 100)
    })
    expect(added).toEqual([])
  })

  test('extra methods are those that the documentation names', () => {
    const known = new Set(contract)
    const extra = [...ours.values()].filter((line) => line.startsWith('rpc\t') && !known.has(line))
    expect(extra).toEqual(['rpc\tNodeDaemonService\t\tListDownloads\tgoogle.protobuf.Empty -> ListDownloadsResponse'])
  })
})
