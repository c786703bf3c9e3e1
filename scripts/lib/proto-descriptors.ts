/**
 * File descriptors as protoc would write them, for server reflection. protobufjs describes a package, not its files: it leaves out imports, names
 * map entries in its own way, keeps type names relative and forgets `optional`. Go's and Python's tools refuse all of that.
 */
import type { Root } from 'protobufjs'
import descriptor from 'protobufjs/ext/descriptor/index.js'

interface Field {
  name: string
  typeName?: string
  jsonName?: string
  oneofIndex?: number
  proto3Optional?: boolean
  options?: object | null
}
interface Message {
  name: string
  field: Field[]
  nestedType: Message[]
  enumType: { name: string }[]
  oneofDecl: { name: string }[]
  options?: { mapEntry?: boolean } | null
}
interface File {
  name: string
  package: string
  syntax: string
  dependency: string[]
  messageType: Message[]
  enumType: { name: string }[]
  service: { method: { inputType: string; outputType: string }[] }[]
}

/** Encoded FileDescriptorProtos of everything in `root`, one per package (google's types one each); `fileOf` names the file of a package. */
export function describeFiles(root: Root, fileOf: Readonly<Record<string, string>>): Buffer[] {
  const described = (root as unknown as { toDescriptor(syntax: string): { file: File[] } }).toDescriptor('proto3').file
  const files = described.flatMap((file) =>
    file.package === 'google.protobuf' ? splitGoogle(file) : [named(file, fileOf)],
  )
  const homes = new Map<string, string>()
  for (const file of files) {
    for (const message of file.messageType) register(message, file.package, file.name, homes)
    for (const type of file.enumType) homes.set(`.${file.package}.${type.name}`, file.name)
  }
  return files.map((file) => {
    complete(file, homes)
    return Buffer.from(descriptor.FileDescriptorProto.encode(descriptor.FileDescriptorProto.create(file)).finish())
  })
}

function named(file: File, fileOf: Readonly<Record<string, string>>): File {
  const name = fileOf[file.package]
  if (name === undefined) throw new Error(`no file name for package ${file.package}`)
  return Object.assign(file, { name })
}

function splitGoogle(file: File): File[] {
  return file.messageType.map((message) => ({
    name: `google/protobuf/${message.name.toLowerCase()}.proto`,
    package: file.package,
    syntax: file.syntax,
    dependency: [],
    messageType: [message],
    enumType: [],
    service: [],
  }))
}

function register(message: Message, scope: string, file: string, homes: Map<string, string>): void {
  for (const nested of message.nestedType) {
    if (!nested.options?.mapEntry) continue
    const field = message.field.find((f) => f.typeName === nested.name)
    if (field === undefined) throw new Error(`map entry ${nested.name} of ${message.name} has no field`)
    nested.name = field.typeName = `${pascal(field.name)}Entry`
  }
  homes.set(`.${scope}.${message.name}`, file)
  for (const nested of message.nestedType) register(nested, `${scope}.${message.name}`, file, homes)
  for (const type of message.enumType) homes.set(`.${scope}.${message.name}.${type.name}`, file)
}

function complete(file: File, homes: Map<string, string>): void {
  const imports = new Set<string>()
  const resolve = (typeName: string, scope: string): string => {
    for (let outer = scope; ; outer = outer.slice(0, Math.max(0, outer.lastIndexOf('.')))) {
      const full = outer === '' ? `.${typeName.replace(/^\./, '')}` : `.${outer}.${typeName}`
      const home = homes.get(full)
      if (home !== undefined) {
        if (home !== file.name) imports.add(home)
        return full
      }
      if (outer === '') throw new Error(`${typeName} in ${scope} is not described anywhere`)
    }
  }
  for (const message of file.messageType) completeMessage(message, file.package, resolve)
  for (const { method } of file.service) {
    for (const m of method) {
      m.inputType = resolve(m.inputType, file.package)
      m.outputType = resolve(m.outputType, file.package)
    }
  }
  file.dependency = [...imports].sort()
}

function completeMessage(message: Message, outer: string, resolve: (typeName: string, scope: string) => string): void {
  const scope = `${outer}.${message.name}`
  for (const field of message.field) {
    if (field.typeName) field.typeName = resolve(field.typeName, scope)
    field.jsonName = field.name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
    // `optional` is a oneof of one member under a made-up name; the flag says that it is no real one.
    const oneof = Object.hasOwn(field, 'oneofIndex') ? message.oneofDecl[field.oneofIndex ?? 0]?.name : undefined
    if (oneof === `_${field.name}`) field.proto3Optional = true
    if (field.options && Object.keys(field.options).length === 0) delete field.options
  }
  for (const nested of message.nestedType) completeMessage(nested, scope, resolve)
}

function pascal(snake: string): string {
  return snake.replace(/(?:^|_)([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
}
