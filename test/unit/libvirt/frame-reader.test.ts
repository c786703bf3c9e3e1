import { describe, expect, test } from 'vitest'
import { LibvirtProtocolError } from '../../../src/libvirt/errors.ts'
import { FrameReader } from '../../../src/libvirt/frame-reader.ts'
import { frame } from './fake-daemon.ts'

const message = (text: string) =>
  frame({ program: 1, procedure: 2, type: 1, serial: 3, status: 0, body: Buffer.from(text) })

function collect() {
  const bodies: string[] = []
  const frames = new FrameReader((bytes, start, end) => bodies.push(bytes.toString('utf8', start + 24, end)))
  // As the socket does it: every read lands in the same buffer, which holds rubbish of earlier reads behind its end.
  const buffer = Buffer.alloc(64 * 1024, 0xee)
  const push = (chunk: Uint8Array) => {
    for (let at = 0; at < chunk.length; at += buffer.length) {
      const part = chunk.subarray(at, at + buffer.length)
      buffer.set(part)
      frames.push(buffer, part.length)
    }
  }
  return { bodies, reader: { push } }
}

describe('FrameReader', () => {
  const stream = Buffer.concat([message('one'), message(''), message('three'.repeat(100))])
  const expected = ['one', '', 'three'.repeat(100)]

  test('finds the same messages wherever the stream is cut', () => {
    for (let cut = 0; cut <= stream.length; cut++) {
      const { bodies, reader } = collect()
      reader.push(stream.subarray(0, cut))
      reader.push(stream.subarray(cut))
      expect(bodies, `cut at ${cut}`).toEqual(expected)
    }
  })

  test.each([1, 2, 3, 5, 27, 28, 29])('finds them in pieces of %i bytes', (size) => {
    const { bodies, reader } = collect()
    for (let at = 0; at < stream.length; at += size) reader.push(stream.subarray(at, at + size))
    expect(bodies).toEqual(expected)
  })

  test.each([0, 8, 27, 33_554_437, 0x7fff_ffff, 0xffff_ffff])('refuses a message that claims %i bytes', (length) => {
    const word = Buffer.alloc(8)
    word.writeUInt32BE(length)
    const before = process.memoryUsage().arrayBuffers
    expect(() => collect().reader.push(word)).toThrow(LibvirtProtocolError)
    const slow = collect().reader
    expect(() => {
      for (const byte of word) slow.push(Buffer.from([byte]))
    }).toThrow(LibvirtProtocolError)
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * 1024 * 1024)
  })

  test('takes a message of the greatest allowed length', () => {
    const { bodies, reader } = collect()
    const body = Buffer.alloc(33_554_408, 0x61)
    const whole = frame({ program: 1, procedure: 2, type: 1, serial: 3, status: 0, body })
    expect(whole.readUInt32BE()).toBe(33_554_436)
    reader.push(whole.subarray(0, 1000))
    reader.push(whole.subarray(1000))
    expect(bodies[0]?.length).toBe(body.length)
  })

  test('delivers nothing more once stopped, not even from the same chunk', () => {
    const bodies: number[] = []
    const reader: FrameReader = new FrameReader(() => {
      bodies.push(1)
      reader.stop()
    })
    reader.push(stream, stream.length)
    expect(bodies).toEqual([1])
  })
})
