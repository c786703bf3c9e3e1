import { describe, expect, test } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { MAX_OUTPUT_BYTES } from '../../../src/domains/bounded-command.ts'
import { runInGuest } from '../../../src/domains/guest-program.ts'
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

function libvirtError(code: number, message = 'words of libvirt'): LibvirtError {
  const fields = {
    code,
    domain: 10,
    level: 2,
    message,
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
    expect(result).toEqual({ exitCode: 3, stdout: 'ü\n', stderr: 'oops', timedOut: false, truncated: false })
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

  test.each([
    [VIR_ERR.OPERATION_INVALID, 'domain is not running', 'vm-off'],
    [VIR_ERR.ARGUMENT_UNSUPPORTED, 'QEMU guest agent is not configured', 'no-channel'],
    [VIR_ERR.AGENT_UNRESPONSIVE, 'QEMU guest agent is not connected', 'not-connected'],
    [VIR_ERR.AGENT_UNRESPONSIVE, 'Guest agent not available for now', 'silent'],
    [VIR_ERR.AGENT_UNSYNCED, 'Out of sync', 'silent'],
    [VIR_ERR.INTERNAL_ERROR, 'The command guest-ping has been disabled for this instance', 'disabled'],
    [VIR_ERR.INTERNAL_ERROR, 'Failed to open file', 'error'],
  ])('error %i of libvirt, "%s", has the cause %s', async (code, message, cause) => {
    const { agent } = scripted({ 'guest-ping': [libvirtError(code, message)] })
    await expect(agent.ping(ctx)).rejects.toMatchObject({ details: { cause } })
  })

  test('what a program prints is cut at 1 MiB, and said to be', async () => {
    const run = async (bytes: number) => {
      const out = Buffer.alloc(bytes, 'x').toString('base64')
      const { agent, seen } = scripted({
        'guest-exec': [{ pid: 7 }],
        'guest-exec-status': [{ exited: true, exitcode: 0, 'out-data': out }],
      })
      const result = await agent.run('ls', ['$(x)'], 5_000, ctx)
      expect(seen[0]?.arguments?.['path']).toBe('/bin/sh')
      expect(seen[0]?.arguments?.['arg']).toEqual(expect.arrayContaining([String(MAX_OUTPUT_BYTES + 1), 'ls', '$(x)']))
      return { length: result.stdout.length, truncated: result.truncated }
    }
    expect(await run(MAX_OUTPUT_BYTES)).toEqual({ length: MAX_OUTPUT_BYTES, truncated: false })
    expect(await run(MAX_OUTPUT_BYTES + 1)).toEqual({ length: MAX_OUTPUT_BYTES, truncated: true })
  })

  test.each([
    ['a POSIX guest', { id: 'debian' }, '/bin/sh'],
    ['one that does not tell what it is', libvirtError(VIR_ERR.INTERNAL_ERROR), '/bin/sh'],
    ['Windows', { id: 'mswindows' }, 'ipconfig'],
  ])('a program in %s prints no more than 1 MiB', async (_, osInfo, program) => {
    const out = Buffer.alloc(MAX_OUTPUT_BYTES + 1, 'x').toString('base64')
    const { agent, seen } = scripted({
      'guest-get-osinfo': [osInfo],
      'guest-exec': [{ pid: 7 }],
      'guest-exec-status': [{ exited: true, exitcode: 0, 'out-data': out, 'err-data': base64('why') }],
    })
    const { stdout, stderr, truncated } = await runInGuest(agent, 'ipconfig', ['/all'], 5_000, ctx)
    expect([stdout.length, stderr, truncated]).toEqual([MAX_OUTPUT_BYTES, 'why', true])
    expect(seen.find(({ execute }) => execute === 'guest-exec')?.arguments?.['path']).toBe(program)
  })

  test.each([
    ['a Windows whose agent cannot tell what it is', libvirtError(VIR_ERR.INTERNAL_ERROR, 'has not been found')],
    ['a POSIX guest without a shell', { id: 'tiny' }],
  ])('a program in %s is run as it is', async (_, osInfo) => {
    const noShell = libvirtError(VIR_ERR.INTERNAL_ERROR, 'Failed to execute child process "/bin/sh" (No such file)')
    const out = Buffer.alloc(MAX_OUTPUT_BYTES + 1, 'x').toString('base64')
    const { agent, seen } = scripted({
      'guest-get-osinfo': [osInfo],
      'guest-exec': [noShell, { pid: 7 }],
      'guest-exec-status': [{ exited: true, exitcode: 0, 'out-data': out }],
    })
    const { stdout, truncated } = await runInGuest(agent, 'ipconfig', ['/all'], 5_000, ctx)
    expect([stdout.length, truncated]).toEqual([MAX_OUTPUT_BYTES, true])
    expect(seen.at(-2)?.arguments).toMatchObject({ path: 'ipconfig', arg: ['/all'] })
  })

  test.each<[string, Readonly<Record<string, unknown[]>>]>([
    ['has begun', { 'guest-exec': [{ pid: 7 }], 'guest-exec-status': [libvirtError(VIR_ERR.INTERNAL_ERROR)] }],
    ['may have begun', { 'guest-exec': [null] }],
    ['may not be run', { 'guest-exec': [libvirtError(VIR_ERR.INTERNAL_ERROR, 'guest-exec has been disabled')] }],
  ])('a program that %s is not run another way', async (_, answers) => {
    const { agent, seen } = scripted({ 'guest-get-osinfo': [{ id: 'debian' }], ...answers })
    const refused = { reason: 'GUEST_AGENT_REFUSED' }
    await expect(runInGuest(agent, 'reboot', [], 5_000, ctx)).rejects.toMatchObject(refused)
    expect(seen.filter(({ execute }) => execute === 'guest-exec')).toHaveLength(1)
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
