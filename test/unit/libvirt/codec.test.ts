import { describe, expect, test } from 'vitest'
import { XdrReader } from '../../../src/libvirt/xdr-reader.ts'
import { XdrWriter } from '../../../src/libvirt/xdr-writer.ts'
import * as netCodec from '../../../src/libvirt/wire/net-codec.gen.ts'
import * as netPeer from '../../../src/libvirt/wire/net-peer.gen.ts'
import { qemuProgram } from '../../../src/libvirt/wire/qemu-codec.gen.ts'
import { qemuPeer } from '../../../src/libvirt/wire/qemu-peer.gen.ts'
import { remoteProgram } from '../../../src/libvirt/wire/remote-codec.gen.ts'
import { remotePeer } from '../../../src/libvirt/wire/remote-peer.gen.ts'
import { oracleDecode, oracleEncode, random, randomValue, wire } from './wire-oracle.ts'

type Encode = (writer: XdrWriter, value: never) => void
type Decode = (reader: XdrReader) => unknown

interface Codec {
  readonly type: string
  readonly encode: Encode
  readonly decode: Decode
}

function both(type: string, encode: Encode | undefined, decode: Decode | undefined): Codec {
  if (encode === undefined || decode === undefined) throw new Error(`${type} lacks one half`)
  return { type, encode, decode }
}

/** Every message of the programs that the client speaks, with both halves of its generated codec. */
function codecs(): Codec[] {
  const all: Codec[] = [
    both('virNetStreamHole', netCodec.e_virNetStreamHole, netCodec.d_virNetStreamHole),
    both('virNetMessageError', netPeer.e_virNetMessageError, netCodec.d_virNetMessageError),
  ]
  const halves = { remote: [remoteProgram, remotePeer], qemu: [qemuProgram, qemuPeer] } as const
  for (const p of wire.procedures) {
    if (p.prog !== 'remote' && p.prog !== 'qemu') continue
    const [client, peer] = halves[p.prog]
    const name = `${p.prog}:${p.name}`
    if (p.msg !== null) {
      all.push(both(p.msg, peer.events.get(p.number)?.encode, client.events.get(p.number)?.decode))
      continue
    }
    const ours = client.procedures[name]
    const theirs = (peer.procedures as Record<string, { encode: Encode | undefined; decode: Decode | undefined }>)[name]
    if (p.args !== null) all.push(both(p.args, ours?.encode, theirs?.decode))
    if (p.ret !== null) all.push(both(p.ret, theirs?.encode, ours?.decode))
  }
  return all
}

describe('generated codec', () => {
  test('covers every procedure and event of the table', () => {
    expect(codecs().length).toBeGreaterThan(650)
    for (const p of wire.procedures.filter((each) => each.prog === 'remote' && each.msg === null)) {
      expect(remoteProgram.procedures[`remote:${p.name}`]?.number).toBe(p.number)
    }
  })

  test('agrees with the interpreter on random values of every struct, in both directions', () => {
    const next = random(20_240_611)
    const writer = new XdrWriter()
    for (const { type, encode, decode } of codecs()) {
      for (let i = 0; i < 12; i++) {
        const value = randomValue({ r: type }, next)
        const expected = oracleEncode({ r: type }, value)
        writer.position = 0
        encode(writer, value as never)
        expect(writer.written().equals(expected), `${type} encodes as the oracle does`).toBe(true)
        const reader = new XdrReader(expected)
        expect(decode(reader), type).toEqual(oracleDecode({ r: type }, expected))
        reader.finish()
      }
    }
  })

  test('turns any garbage into a RangeError or a value, never into anything else', () => {
    const next = random(7)
    const all = codecs()
    for (let i = 0; i < 30_000; i++) {
      const { type, decode } = all[next(all.length)]!
      // Small words make plausible lengths and counts, which get deeper than pure noise.
      const bytes = Buffer.alloc(next(96))
      for (let at = 0; at < bytes.length; at++) bytes[at] = next(4) === 0 ? next(256) : at % 4 === 3 ? next(6) : 0
      try {
        decode(new XdrReader(bytes))
      } catch (error) {
        expect(error, type).toBeInstanceOf(RangeError)
      }
    }
  })

  test('every truncation of a valid message is refused', () => {
    const next = random(11)
    for (const { type, decode } of codecs()) {
      const bytes = oracleEncode({ r: type }, randomValue({ r: type }, next))
      for (let length = 0; length < bytes.length; length += 4) {
        expect(() => decode(new XdrReader(bytes, 0, length)), `${type} cut at ${length}`).toThrow(RangeError)
      }
    }
  })
})

describe('values that do not fit', () => {
  const cases: [string, string, unknown][] = [
    ['a fraction for an int', 'remote:NODE_LIST_DEVICES', { cap: null, maxnames: 1.5, flags: 0 }],
    ['a negative number for an unsigned one', 'remote:NODE_LIST_DEVICES', { cap: null, maxnames: 1, flags: -1 }],
    ['an int beyond 32 bits', 'remote:NODE_LIST_DEVICES', { cap: null, maxnames: 2 ** 31, flags: 0 }],
    [
      'a number for a 64 bit integer',
      'remote:STORAGE_VOL_RESIZE',
      { vol: { pool: 'p', name: 'v', key: 'k' }, capacity: 5, flags: 0 },
    ],
    [
      'a bigint beyond 64 bits',
      'remote:STORAGE_VOL_RESIZE',
      { vol: { pool: 'p', name: 'v', key: 'k' }, capacity: 2n ** 64n, flags: 0 },
    ],
    ['a string with NUL', 'remote:DOMAIN_LOOKUP_BY_NAME', { name: 'a\0b' }],
    ['a string above 4 MiB', 'remote:DOMAIN_LOOKUP_BY_NAME', { name: 'x'.repeat(4_194_305) }],
    ['a string above 4 MiB in UTF-8 only', 'remote:DOMAIN_LOOKUP_BY_NAME', { name: 'ü'.repeat(2_097_153) }],
    ['a missing string', 'remote:DOMAIN_LOOKUP_BY_NAME', {}],
    ['a UUID of 15 bytes', 'remote:DOMAIN_LOOKUP_BY_UUID', { uuid: Buffer.alloc(15) }],
    [
      'a list that is too long',
      'remote:DOMAIN_SEND_KEY',
      {
        dom: { name: 'd', uuid: Buffer.alloc(16), id: 1 },
        codeset: 0,
        holdtime: 0,
        keycodes: Array(17).fill(1),
        flags: 0,
      },
    ],
    [
      'an unknown union type',
      'remote:DOMAIN_SET_SCHEDULER_PARAMETERS',
      { dom: { name: 'd', uuid: Buffer.alloc(16), id: 1 }, params: [{ field: 'f', value: { type: 9, value: 1 } }] },
    ],
  ]
  test.each(cases)('%s is a RangeError', (_what, name, args) => {
    const encode = remoteProgram.procedures[name]?.encode
    expect(encode).toBeDefined()
    expect(() => encode?.(new XdrWriter(), args as never)).toThrow(RangeError)
  })

  test('a string of exactly 4 MiB passes', () => {
    const writer = new XdrWriter()
    remoteProgram.procedures['remote:DOMAIN_LOOKUP_BY_NAME']?.encode?.(writer, { name: 'x'.repeat(4_194_304) } as never)
    expect(writer.position).toBe(4 + 4_194_304)
  })

  test('padding after a shorter string holds no bytes of an earlier message', () => {
    const writer = new XdrWriter()
    writer.raw(Buffer.alloc(64, 0xff))
    writer.position = 0
    writer.string('a', 10)
    expect(writer.written()).toEqual(Buffer.from('0000000161000000', 'hex'))
  })
})

describe('lying lengths', () => {
  const decode = (name: string, hex: string) =>
    remoteProgram.procedures[name]?.decode?.(new XdrReader(Buffer.from(hex, 'hex')))

  test.each([
    ['a list count above the limit', 'remote:CONNECT_LIST_ALL_DOMAINS', '7fffffff00000000'],
    ['a list longer than its limit, though all of it is there', 'remote:AUTH_LIST', `00000015${'00000000'.repeat(21)}`],
    ['a list count above the bytes that are there', 'remote:CONNECT_LIST_ALL_DOMAINS', '0000400000000000'],
    ['a string length above the limit', 'remote:DOMAIN_GET_XML_DESC', '7fffffff'],
    ['a string length above the bytes that are there', 'remote:DOMAIN_GET_XML_DESC', '0000000861616161'],
    ['an optional flag of 2', 'remote:CONNECT_GET_HOSTNAME', '00000002'],
  ])('%s is refused before anything is allocated', (_what, name, hex) => {
    expect(() => decode(name, hex)).toThrow(RangeError)
  })
})
