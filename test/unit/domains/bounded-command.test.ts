import { spawnSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { boundedCommand } from '../../../src/domains/bounded-command.ts'

const run = (command: string, max: number) =>
  spawnSync('/bin/sh', boundedCommand('/bin/sh', ['-c', command], max), { encoding: 'utf8', maxBuffer: 1 << 24 })

describe('a command with bounded output', () => {
  test('keeps both streams apart, and the exit code', () => {
    expect(run('echo out; echo err >&2; exit 7', 100)).toMatchObject({ stdout: 'out\n', stderr: 'err\n', status: 7 })
    expect(run('true', 100)).toMatchObject({ stdout: '', stderr: '', status: 0 })
  })

  test('cuts each stream by itself, and lets the program go on to its end', () => {
    const result = run(
      'head -c 3000000 /dev/zero | tr "\\0" a; head -c 3000000 /dev/zero | tr "\\0" b >&2; exit 3',
      1000,
    )
    expect(result).toMatchObject({ stdout: 'a'.repeat(1000), stderr: 'b'.repeat(1000), status: 3 })
  })

  test('gives arguments as they are', () => {
    const { stdout } = spawnSync('/bin/sh', boundedCommand('printf', ['%s|', '$(x)', 'a b', '', '*'], 100), {
      encoding: 'utf8',
    })
    expect(stdout).toBe('$(x)|a b||*|')
  })

  test('runs programs, not words of the shell of the same name', () => {
    const output = (...command: [string, ...string[]]) => {
      const [program, ...args] = command
      return spawnSync('/bin/sh', boundedCommand(program, args, 100), { encoding: 'utf8' })
    }
    expect(output('echo', 'a\\nb').stdout).toBe('a\\nb\n')
    expect(output('limit', '1')).toMatchObject({ status: 127, stdout: '' })
  })

  test('runs a program as it is where the tools to cut with are missing', () => {
    const env = { PATH: '/nonexistent' }
    const command = boundedCommand('/bin/sh', ['-c', 'echo out; exit 3'], 1)
    expect(spawnSync('/bin/sh', command, { encoding: 'utf8', env })).toMatchObject({
      stdout: 'out\n',
      stderr: '',
      status: 3,
    })
  })

  test('a program that is missing is told in the way of a shell', () => {
    expect(run('exec /no/such/program', 1000)).toMatchObject({ status: 127, stdout: '' })
  })
})
