import { readFileSync } from 'node:fs'

// An interpreter of libvirt-wire.json, written apart from the generator: what it and the generated code disagree on is a bug in one of them.

type WireType =
  | string
  | { r?: string; a?: [WireType, number]; av?: [WireType, number]; o?: number; ov?: number; s?: number; opt?: WireType }
type Definition = {
  k: 'struct' | 'alias' | 'enum' | 'union'
  f?: [string, WireType][]
  t?: WireType
  c?: Record<string, [string, WireType]>
}
interface Wire {
  types: Record<string, Definition>
  procedures: {
    prog: string
    name: string
    number: number
    args: string | null
    ret: string | null
    msg: string | null
  }[]
}

export const wire = JSON.parse(
  readFileSync(new URL('../../../src/libvirt/wire/libvirt-wire.json', import.meta.url), 'utf8'),
) as Wire

const named = (name: string): Definition => {
  const found = wire.types[name]
  if (found === undefined) throw new Error(`no type ${name}`)
  return found
}

/** Encodes the slow and obvious way. */
export function oracleEncode(type: WireType, value: unknown): Buffer {
  const parts: Buffer[] = []
  encode(type, value, parts)
  return Buffer.concat(parts)
}

const word = (n: number) => {
  const b = Buffer.alloc(4)
  b.writeUInt32BE(n >>> 0)
  return b
}
const padded = (bytes: Uint8Array) => Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)])

function encode(type: WireType, value: unknown, out: Buffer[]): void {
  if (typeof type === 'string') {
    const b = Buffer.alloc(8)
    if (type === 'hyper') b.writeBigInt64BE(value as bigint)
    else if (type === 'uhyper') b.writeBigUInt64BE(value as bigint)
    else if (type === 'double') b.writeDoubleBE(value as number)
    else return void out.push(word(value as number))
    return void out.push(b)
  }
  if (type.r !== undefined) {
    const def = named(type.r)
    if (def.k === 'alias') return encode(def.t!, value, out)
    if (def.k === 'enum') return void out.push(word(value as number))
    if (def.k === 'struct') {
      for (const [field, inner] of def.f!) encode(inner, (value as Record<string, unknown>)[field], out)
      return
    }
    const union = value as { type: number; value: unknown }
    out.push(word(union.type))
    return encode(def.c![String(union.type)]![1], union.value, out)
  }
  if (type.opt !== undefined) {
    out.push(word(value === null ? 0 : 1))
    if (value !== null) encode(type.opt, value, out)
  } else if (type.s !== undefined) {
    const bytes = Buffer.from(value as string)
    out.push(word(bytes.length), padded(bytes))
  } else if (type.o !== undefined) out.push(padded(value as Uint8Array))
  else if (type.ov !== undefined) out.push(word((value as Uint8Array).length), padded(value as Uint8Array))
  else {
    const [element] = type.a ?? type.av!
    if (type.av !== undefined) out.push(word((value as unknown[]).length))
    for (const each of value as unknown[]) encode(element, each, out)
  }
}

/** Decodes a whole buffer; anything left over is an error. */
export function oracleDecode(type: WireType, bytes: Buffer): unknown {
  const cursor = { bytes, at: 0 }
  const value = decode(type, cursor)
  if (cursor.at !== bytes.length) throw new RangeError('bytes left over')
  return value
}

function decode(type: WireType, c: { bytes: Buffer; at: number }): unknown {
  const next = (n: number) => {
    const at = c.at
    c.at += n
    return at
  }
  const bytes = (n: number) => {
    const at = next(n + ((4 - (n % 4)) % 4))
    return Buffer.from(c.bytes.subarray(at, at + n))
  }
  if (typeof type === 'string') {
    if (type === 'hyper') return c.bytes.readBigInt64BE(next(8))
    if (type === 'uhyper') return c.bytes.readBigUInt64BE(next(8))
    if (type === 'double') return c.bytes.readDoubleBE(next(8))
    return type === 'uint' ? c.bytes.readUInt32BE(next(4)) : c.bytes.readInt32BE(next(4))
  }
  if (type.r !== undefined) {
    const def = named(type.r)
    if (def.k === 'alias') return decode(def.t!, c)
    if (def.k === 'enum') return c.bytes.readInt32BE(next(4))
    if (def.k === 'struct') return Object.fromEntries(def.f!.map(([field, inner]) => [field, decode(inner, c)]))
    const tag = c.bytes.readInt32BE(next(4))
    return { type: tag, value: decode(def.c![String(tag)]![1], c) }
  }
  if (type.opt !== undefined) return c.bytes.readUInt32BE(next(4)) === 1 ? decode(type.opt, c) : null
  if (type.s !== undefined) return bytes(c.bytes.readUInt32BE(next(4))).toString()
  if (type.o !== undefined) return bytes(type.o)
  if (type.ov !== undefined) return bytes(c.bytes.readUInt32BE(next(4)))
  const [element, size] = type.a ?? type.av!
  const count = type.a === undefined ? c.bytes.readUInt32BE(next(4)) : size
  return Array.from({ length: count }, () => decode(element, c))
}

/** A source of repeatable randomness. */
export function random(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % below
  }
}

const LETTERS = ['a', 'Z', '/', ' ', 'ü', '€', '𝄞', '<', '\n']

/** A random value of a type, with the extremes of numbers and lengths more often than chance would have them. */
export function randomValue(type: WireType, next: (below: number) => number): unknown {
  if (typeof type === 'string') {
    const pick = <T>(...values: T[]) => values[next(values.length)] as T
    switch (type) {
      case 'hyper':
        return pick(0n, -1n, -(2n ** 63n), 2n ** 63n - 1n, BigInt(next(2 ** 31)) * 4_294_967_311n)
      case 'uhyper':
        return pick(0n, 1n, 2n ** 64n - 1n, 2n ** 53n + 1n, BigInt(next(2 ** 31)) * 4_294_967_311n)
      case 'double':
        return pick(0, -1.5, 1e300, Number.MIN_VALUE, next(1000) / 7)
      case 'int':
        return pick(0, -1, -(2 ** 31), 2 ** 31 - 1, next(2 ** 31))
      case 'uint':
        return pick(0, 1, 2 ** 32 - 1, next(2 ** 31))
      case 'char':
        return pick(0, -128, 127, next(128))
      case 'uchar':
        return next(256)
      case 'ushort':
        return next(65_536)
      default:
        throw new Error(`no such primitive: ${type}`)
    }
  }
  const bytes = (n: number) => Buffer.from(Array.from({ length: n }, () => next(256)))
  if (type.r !== undefined) {
    const def = named(type.r)
    if (def.k === 'alias') return randomValue(def.t!, next)
    if (def.k === 'enum') return next(3)
    if (def.k === 'struct') return Object.fromEntries(def.f!.map(([field, inner]) => [field, randomValue(inner, next)]))
    const arms = Object.entries(def.c!)
    const [tag, [, inner]] = arms[next(arms.length)]!
    return { type: Number(tag), value: randomValue(inner, next) }
  }
  if (type.opt !== undefined) return next(3) === 0 ? null : randomValue(type.opt, next)
  if (type.s !== undefined) return Array.from({ length: next(12) }, () => LETTERS[next(LETTERS.length)]).join('')
  if (type.o !== undefined) return bytes(type.o)
  if (type.ov !== undefined) return bytes(Math.min(type.ov, next(9)))
  const [element, size] = type.a ?? type.av!
  const count = type.a === undefined ? Math.min(size, next(4)) : size
  return Array.from({ length: count }, () => randomValue(element, next))
}
