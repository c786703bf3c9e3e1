import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { DirectSocket, type ByteSink } from '../../../src/platform/direct-socket.ts'

/** A socket as DirectSocket sees it, and the kernel that fills its buffers. */
function wire() {
  const direct = new DirectSocket()
  const socket = new Readable({ read: () => undefined }) as unknown as Socket
  const { buffer, callback } = direct.onread
  const next = () => (typeof buffer === 'function' ? buffer() : buffer)
  let current = next()
  const arrive = (text: string): boolean => {
    current.set(Buffer.from(text))
    const goOn = callback.call(socket, text.length, current)
    current = next()
    return goOn
  }
  return { direct, socket, arrive }
}

function textSink(limit = Infinity): ByteSink & { text: string } {
  const memory = new Uint8Array(1000)
  return {
    text: '',
    onSpace: undefined,
    space() {
      return this.text.length < limit ? memory : undefined
    },
    advance(bytes) {
      this.text += Buffer.from(memory.subarray(0, bytes)).toString()
    },
    write(chunk) {
      this.text += Buffer.from(chunk).toString()
      return this.text.length < limit
    },
  }
}

describe('DirectSocket', () => {
  it('leaves everything to the parser until it is diverted', () => {
    const { socket, arrive } = wire()
    arrive('HTTP/1.1 200 OK')
    expect(String(socket.read())).toBe('HTTP/1.1 200 OK')
  })

  it('keeps order: nothing overtakes what the parser has not taken', () => {
    const { direct, socket, arrive } = wire()
    const sink = textSink()
    let parserReady = false
    arrive('head')
    direct.divert(
      sink,
      () => parserReady,
      (count) => count,
    )
    arrive('-a')
    expect(String(socket.read())).toBe('head-a')
    arrive('-b')
    expect(String(socket.read())).toBe('-b')
    parserReady = true
    arrive('-c')
    arrive('-d')
    expect(socket.read()).toBeNull()
    expect(sink.text).toBe('-c-d')
  })

  it('does not take what is unread as read', () => {
    const { direct, socket, arrive } = wire()
    const sink = textSink()
    arrive('head')
    direct.divert(
      sink,
      () => true,
      (count) => count,
    )
    arrive('-a')
    expect(sink.text).toBe('')
    expect(String(socket.read())).toBe('head-a')
  })

  it('stops reading while the sink is full, and takes no more than belongs to the body', () => {
    const { direct, arrive } = wire()
    const sink = textSink(4)
    let left = 5
    direct.divert(
      sink,
      () => true,
      (count) => {
        const wanted = Math.min(count, left)
        left -= wanted
        return wanted
      },
    )
    expect(arrive('abc')).toBe(true)
    expect(arrive('def')).toBe(false)
    arrive('ghi')
    expect(sink.text).toBe('abcde')
  })
})
