import { describe, expect, test } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { GuestAgent } from '../../../src/domains/guest-agent.ts'
import type { LibvirtCalls } from '../../../src/domains/libvirt-domain.ts'
import { VIR_ERR } from '../../../src/libvirt/constants.ts'
import { LibvirtError } from '../../../src/libvirt/errors.ts'

const vmId = '6f0c1a52-0d0e-4a51-9a44-1f6a2a7c9b10'
const ctx = { signal: AbortSignal.timeout(10_000), log: silentLogger }
const base64 = (text: string) => Buffer.from(text).toString('base64')

interface Command {
  readonly execute: string
  readonly arguments?: Readonly<Record<string, unknown>>
}

/** An agent in a guest that answers from a script: what it returns, or throws, per command in order. */
function scripted(answers: Readonly<Record<string, unknown[]>>): { agent: GuestAgent; seen: Command[] } {
  const seen: Command[] = []
  const call = (_name: string, args: { cmd: string }) => {
    const command = JSON.parse(args.cmd) as Command
    seen.push(command)
    const answer = answers[command.execute]?.shift()
    if (answer instanceof Error) return Promise.reject(answer)
    return Promise.resolve({ result: typeof answer === 'string' ? answer : JSON.stringify({ return: answer }) })
  }
  return { agent: new GuestAgent({ call } as unknown as LibvirtCalls, vmId), seen }
}

function libvirtError(code: number): LibvirtError {
  const fields = {
    code,
    domain: 10,
    level: 2,
    message: 'words of libvirt',
    str1: null,
    str2: null,
    str3: null,
    int1: 0,
    int2: 0,
  }
  return new LibvirtError('qemu:DOMAIN_AGENT_COMMAND', fields)
}

describe('guest agent', () => {
  test('a program runs without a shell, and its end is waited for', async () => {
    const { agent, seen } = scripted({
      'guest-exec': [{ pid: 7 }],
      'guest-exec-status': [
        { exited: false },
        { exited: true, exitcode: 3, 'out-data': base64('ü\n'), 'err-data': base64('oops') },
      ],
    })
    const result = await agent.exec('/bin/ls', ['-l', '$(x)'], 5_000, ctx)
    expect(result).toEqual({ exitCode: 3, stdout: 'ü\n', stderr: 'oops', timedOut: false })
    expect(seen[0]?.arguments).toEqual({ path: '/bin/ls', arg: ['-l', '$(x)'], 'capture-output': true })
    expect(seen[1]?.arguments).toEqual({ pid: 7 })
  })

  test('a program that does not end is told as timed out; one ended by a signal has 128 more', async () => {
    const slow = scripted({ 'guest-exec': [{ pid: 7 }], 'guest-exec-status': [{ exited: false }] })
    expect(await slow.agent.exec('sleep', ['9'], -1, ctx)).toMatchObject({ timedOut: true, exitCode: -1 })
    const killed = scripted({ 'guest-exec': [{ pid: 7 }], 'guest-exec-status': [{ exited: true, signal: 9 }] })
    expect(await killed.agent.exec('sleep', ['9'], 100, ctx)).toMatchObject({ timedOut: false, exitCode: 137 })
  })

  test('a file is read in pieces and closed, also when it is too large', async () => {
    const pieces = () => ({
      'guest-file-open': [5],
      'guest-file-read': [
        { 'buf-b64': base64('hello '), eof: false },
        { 'buf-b64': base64('you'), eof: true },
      ],
      'guest-file-close': [{}],
    })
    const good = scripted(pieces())
    expect((await good.agent.readFile('/etc/hostname', 100, ctx)).toString()).toBe('hello you')
    const large = scripted(pieces())
    await expect(large.agent.readFile('/etc/hostname', 8, ctx)).rejects.toMatchObject({ reason: 'GUEST_AGENT_REFUSED' })
    expect(large.seen.at(-1)).toEqual({ execute: 'guest-file-close', arguments: { handle: 5 } })
  })

  test.each([
    [VIR_ERR.AGENT_UNRESPONSIVE, 'GUEST_AGENT_UNAVAILABLE'],
    [VIR_ERR.OPERATION_INVALID, 'GUEST_AGENT_UNAVAILABLE'],
    [VIR_ERR.INTERNAL_ERROR, 'GUEST_AGENT_REFUSED'],
    [VIR_ERR.NO_DOMAIN, 'VM_NOT_FOUND'],
  ])('error %i of libvirt is %s', async (code, reason) => {
    await expect(scripted({ 'guest-ping': [libvirtError(code)] }).agent.ping(ctx)).rejects.toMatchObject({ reason })
  })

  test.each<[string, Readonly<Record<string, unknown[]>>]>([
    ['no process id', { 'guest-exec': [null] }],
    ['a process id that is no number', { 'guest-exec': [{ pid: '7' }] }],
    ['no status', { 'guest-exec': [{ pid: 7 }], 'guest-exec-status': [null] }],
    ['output that is no text', { 'guest-exec': [{ pid: 7 }], 'guest-exec-status': [{ exited: true, 'out-data': 5 }] }],
    ['no handle', { 'guest-file-open': [{}] }],
    [
      'a piece that is no text',
      { 'guest-file-open': [5], 'guest-file-read': [{ 'buf-b64': {} }], 'guest-file-close': [{}] },
    ],
  ])('a guest that answers with %s is refused, not believed', async (_, answers) => {
    const { agent } = scripted(answers)
    const work = 'guest-exec' in answers ? agent.exec('/bin/ls', [], 5_000, ctx) : agent.readFile('/x', 10, ctx)
    await expect(work).rejects.toMatchObject({ reason: 'GUEST_AGENT_REFUSED' })
  })

  test('an answer that is not JSON is refused, not believed', async () => {
    await expect(scripted({ 'guest-ping': ['<html>'] }).agent.ping(ctx)).rejects.toMatchObject({
      reason: 'GUEST_AGENT_REFUSED',
    })
  })
})
