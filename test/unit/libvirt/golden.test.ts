import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { PROGRAMS } from '../../../src/libvirt/programs.ts'
import { d_virNetMessageError } from '../../../src/libvirt/wire/net-codec.gen.ts'
import { e_virNetMessageError } from '../../../src/libvirt/wire/net-peer.gen.ts'
import { remotePeer } from '../../../src/libvirt/wire/remote-peer.gen.ts'
import { XdrReader } from '../../../src/libvirt/xdr-reader.ts'
import { XdrWriter } from '../../../src/libvirt/xdr-writer.ts'

interface Golden {
  readonly direction: 'call' | 'answer'
  readonly program: number
  readonly procedure: number
  readonly type: number
  readonly status: number
  readonly body: string
}

const golden = JSON.parse(
  readFileSync(new URL('../../../fixtures/libvirt/golden.json', import.meta.url), 'utf8'),
) as Golden[]
const remote = PROGRAMS[0]!
const nameOf = (number: number) => Object.entries(remote.procedures).find(([, p]) => p.number === number)?.[0] ?? ''
interface Half {
  readonly encode?: ((w: XdrWriter, v: never) => void) | undefined
  readonly decode?: ((r: XdrReader) => unknown) | undefined
}
const peer = remotePeer.procedures as Record<string, Half>

/** Decodes with one half and encodes again with the other: the bytes must be those that were recorded. */
function roundTrip(body: Buffer, decode: Half['decode'], encode: Half['encode']): unknown {
  const reader = new XdrReader(body)
  const value = decode?.(reader)
  reader.finish()
  const writer = new XdrWriter()
  encode?.(writer, value as never)
  expect(writer.written().toString('hex')).toBe(body.toString('hex'))
  return value
}

describe('what the C library and libvirtd 9.0.0 said to each other', () => {
  test('is enough to mean something', () => {
    expect(golden.length).toBeGreaterThan(80)
    expect(golden.some((g) => g.type === 2)).toBe(true)
    expect(golden.some((g) => g.status === 1)).toBe(true)
  })

  test.each(golden.map((g, i) => ({ ...g, i, name: nameOf(g.procedure) })))(
    '$i: $direction $name type $type status $status is reproduced byte by byte',
    ({ direction, procedure, type, status, body, name }) => {
      const bytes = Buffer.from(body, 'hex')
      if (type === 2) {
        roundTrip(bytes, remote.events.get(procedure)?.decode, remotePeer.events.get(procedure)?.encode)
      } else if (status === 1) {
        const error = roundTrip(bytes, d_virNetMessageError, e_virNetMessageError) as { code: number; message: string }
        expect(error.code).toBeGreaterThan(0)
        expect(error.message.length).toBeGreaterThan(0)
      } else if (direction === 'call') {
        roundTrip(bytes, peer[name]?.decode, remote.procedures[name]?.encode)
      } else {
        roundTrip(bytes, remote.procedures[name]?.decode, peer[name]?.encode)
      }
    },
  )

  test('reads as what was asked', () => {
    const find = (name: string, direction: string) => {
      const record = golden.find((g) => nameOf(g.procedure) === name && g.direction === direction && g.status === 0)
      return new XdrReader(Buffer.from(record?.body ?? '', 'hex'))
    }
    expect(peer['remote:CONNECT_OPEN']?.decode?.(find('remote:CONNECT_OPEN', 'call'))).toEqual({
      name: 'test:///default',
      flags: 0,
    })
    expect(
      remote.procedures['remote:DOMAIN_DEFINE_XML']?.decode?.(find('remote:DOMAIN_DEFINE_XML', 'answer')) ??
        remote.procedures['remote:DOMAIN_DEFINE_XML_FLAGS']?.decode?.(find('remote:DOMAIN_DEFINE_XML_FLAGS', 'answer')),
    ).toEqual({
      dom: { name: 'golden-ü', uuid: Buffer.from('00112233445566778899aabbccddeeff', 'hex'), id: -1 },
    })
  })
})
