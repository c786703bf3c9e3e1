import descriptor from 'protobufjs/ext/descriptor/index.js'
import { describe, expect, test } from 'vitest'
import descriptors from '../../../src/grpc/gen/descriptors.json' with { type: 'json' }

// The rules by which Go's protodesc and Python's descriptor pool accept a file.
interface Field {
  name: string
  typeName?: string
  label: number
  oneofIndex?: number
  proto3Optional?: boolean
}
interface Message {
  name: string
  field: Field[]
  nestedType: Message[]
  enumType: { name: string }[]
  oneofDecl: { name: string }[]
  options?: { mapEntry?: boolean }
}
interface File {
  name: string
  package: string
  syntax: string
  dependency: string[]
  messageType: Message[]
  enumType: { name: string }[]
  service: { name: string; method: { inputType: string; outputType: string }[] }[]
}

const files = descriptors.files.map(
  (file) => descriptor.FileDescriptorProto.decode(Buffer.from(file, 'base64')) as unknown as File,
)
const homes = new Map<string, string>()
const messages: { file: File; scope: string; message: Message }[] = []

function visit(file: File, scope: string, message: Message): void {
  homes.set(`${scope}.${message.name}`, file.name)
  messages.push({ file, scope, message })
  for (const type of message.enumType) homes.set(`${scope}.${message.name}.${type.name}`, file.name)
  for (const nested of message.nestedType) visit(file, `${scope}.${message.name}`, nested)
}
for (const file of files) {
  for (const type of file.enumType) homes.set(`.${file.package}.${type.name}`, file.name)
  for (const message of file.messageType) visit(file, `.${file.package}`, message)
}

describe('descriptors for reflection', () => {
  test('are files under the names by which they are imported', () => {
    expect(files.map((file) => file.name).sort()).toEqual([
      'google/protobuf/empty.proto',
      'google/protobuf/timestamp.proto',
      'google/rpc/error_details.proto',
      'grpc/health/v1/health.proto',
      'limiquantix/node/v1/node_daemon.proto',
    ])
    expect(files.every((file) => file.syntax === 'proto3')).toBe(true)
  })

  test('name every type in full, and import the file it is in', () => {
    const used = [
      ...messages.flatMap(({ file, message }) => message.field.map((field) => [file, field.typeName] as const)),
      ...files.flatMap((file) =>
        file.service.flatMap(({ method }) =>
          method.flatMap((m) => [m.inputType, m.outputType].map((t) => [file, t] as const)),
        ),
      ),
    ]
    const wrong = used.filter(([file, type]) => {
      if (!type) return false
      const home = homes.get(type)
      return home === undefined || (home !== file.name && !file.dependency.includes(home))
    })
    expect(wrong).toEqual([])
    expect(used.filter(([, type]) => type).length).toBeGreaterThan(100)
  })

  test('name map entries after their field', () => {
    const entries = messages.filter(({ message }) => message.options?.mapEntry)
    expect(entries.map(({ scope, message }) => `${scope}.${message.name}`).sort()).toEqual([
      '.google.rpc.ErrorInfo.MetadataEntry',
      '.grpc.health.v1.HealthListResponse.StatusesEntry',
      '.limiquantix.node.v1.CreateVMOnNodeRequest.LabelsEntry',
      '.limiquantix.node.v1.NodeEvent.MetadataEntry',
      '.limiquantix.node.v1.VMStatusResponse.LabelsEntry',
    ])
  })

  test('mark optional fields', () => {
    const optional = messages.flatMap(({ message }) => message.field.filter((field) => field.proto3Optional))
    expect(optional.map((field) => field.name)).toEqual(['capacity_gib'])
  })
})
