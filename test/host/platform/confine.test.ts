import { spawn } from 'node:child_process'
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runConfined, workingConfinements, type ConfinedCommand } from '../../../src/platform/confine.ts'
import { until } from '../../support/until.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'

await requirePrerequisite('bubblewrap', missingCommand('bwrap'))
const limits = { addressSpaceBytes: 2 ** 30, cpuSeconds: 20, fileBytes: 2 ** 20 }
const cages = await workingConfinements()

describe.each(cages)('a tool confined by $kind', (cage) => {
  let directory: string
  let image: string
  let output: string
  const shell = async (script: string, change: Partial<ConfinedCommand> = {}) =>
    runConfined(
      {
        file: 'sh',
        args: (inside) => ['-c', script, 'sh', inside(image), inside(output)],
        access: { reads: [image], writes: [output] },
        limits,
        timeoutMs: 20_000,
        ...change,
      },
      undefined,
      cage,
    )

  beforeAll(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'lqx confine: '))
    ;[image, output] = [path.join(directory, 'a "b".img'), path.join(directory, 'out,put')]
    await writeFile(image, 'image', { mode: 0o600 })
    await writeFile(output, '')
    await writeFile(path.join(directory, 'secret'), 'secret')
  })
  afterAll(async () => {
    await rm(directory, { recursive: true })
  })

  it('reads and writes what it is given, and says how it was confined', async () => {
    const result = await shell('cat "$1" && printf written > "$2"')
    expect(result).toMatchObject({ exitCode: 0, stdout: 'image', confinement: cage.kind })
    expect(await readFile(output, 'utf8')).toBe('written')
  })

  it('reaches files through a directory handle of another process', async () => {
    await using handle = await open(directory)
    const through = `/proc/${process.pid}/fd/${handle.fd}/${path.basename(image)}`
    const access = { reads: [through], writes: [] }
    const result = await shell('', { args: (inside) => ['-c', 'cat "$1"', 'sh', inside(through)], access })
    expect(result.stdout).toBe('image')
  })

  it('reads and writes devices', async () => {
    const devices = (inside: (path: string) => string) => [inside('/dev/zero'), inside('/dev/full')]
    const change = { access: { reads: ['/dev/zero'], writes: ['/dev/full'] } }
    const read = {
      ...change,
      args: (inside: (path: string) => string) => ['-c', 'head -c 3 "$1" | wc -c', 'sh', ...devices(inside)],
    }
    expect((await shell('', read)).stdout.trim()).toBe('3')
    const write = {
      ...change,
      args: (inside: (path: string) => string) => ['-c', 'echo some > "$2"', 'sh', ...devices(inside)],
    }
    await expect(shell('', write)).rejects.toThrow(/I\/O error|No space/)
  })

  it('ends at its limit of memory, size and time', async () => {
    const failed = expect.objectContaining({ reason: 'COMMAND_FAILED' }) as Error
    await expect(shell('head -c 2000000 /dev/zero > "$2"')).rejects.toThrow(failed)
    const small = { ...limits, addressSpaceBytes: 64 * 2 ** 20 }
    await expect(shell('head -c 200000000 /dev/zero | sort', { limits: small })).rejects.toThrow(failed)
    const quick = { ...limits, cpuSeconds: 1 }
    await expect(shell('while :; do :; done', { limits: quick })).rejects.toThrow(failed)
  })

  it('keeps to few arenas of memory, which would take up its address space', async () => {
    const small = await shell('echo "$MALLOC_ARENA_MAX"')
    expect(small.stdout).toBe('1\n')
    const large = await shell('echo "$MALLOC_ARENA_MAX"', { limits: { ...limits, addressSpaceBytes: 16 * 2 ** 30 } })
    expect(large.stdout).toBe('8\n')
  })

  it('is ended at the deadline, with all it has started', async () => {
    const mark = `61.${process.pid}${cages.indexOf(cage)}`
    const wait = shell(`sleep ${mark} & sleep ${mark}`, { timeoutMs: 1_000 })
    await expect(wait).rejects.toMatchObject({ reason: 'DEADLINE_EXCEEDED' })
    await until(async () => !(await isRunning(mark)))
  })

  it('tells what went wrong by the names outside', async () => {
    const program = { file: 'no-such-tool', package: 'no-such-package' }
    await expect(shell('', program)).rejects.toMatchObject({
      reason: 'COMMAND_MISSING',
      message: 'no-such-tool is not installed; install the Debian package no-such-package',
    })
    await expect(shell('echo "cannot read $1" >&2; exit 3')).rejects.toThrow(
      `sh ended with exit code 3: cannot read ${image}`,
    )
  })

  if (cage.kind === 'rlimits') return

  it('sees no other file and cannot change what it only reads', async () => {
    await expect(shell('cat "$(dirname "$1")/secret"')).rejects.toThrow(/No such file/)
    await expect(shell('cat /etc/passwd')).rejects.toThrow(/No such file/)
    await expect(shell('echo changed > "$1"')).rejects.toThrow(/Read-only|Permission denied/)
    await expect(shell('echo new > /usr/lqx-new')).rejects.toThrow(/Read-only/)
    expect(await readFile(image, 'utf8')).toBe('image')
  })

  it('has no network, unless that is what it is given', async () => {
    const server = createServer((socket) => socket.end('reached'))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    const port = typeof address === 'object' ? address?.port : 0
    const connect = `import socket; print(socket.create_connection(("localhost", ${port}), 15).recv(9).decode())`
    const python = { file: 'python3', args: () => ['-c', connect] }
    await expect(shell('', python)).rejects.toThrow(/refused|not permitted|not supported|resolution/i)
    const access = { reads: [], writes: [], network: true }
    expect(await shell('', { ...python, access })).toMatchObject({ stdout: 'reached\n' })
    server.close()
  })
})

describe('confinement', () => {
  it('is the best that works', () => {
    expect(cages.at(-1)?.kind).toBe('rlimits')
    expect(new Set(cages.map(({ kind }) => kind)).size).toBe(cages.length)
  })

  it('ends with the agent, even when that is killed', async () => {
    const mark = `62.${process.pid}`
    for (const { kind } of cages.filter(({ kind }) => kind !== 'systemd')) {
      const script = `
        const { runConfined, workingConfinements } = await import('${path.resolve('src/platform/confine.ts')}')
        const cage = (await workingConfinements()).find(({ kind }) => kind === '${kind}')
        const tool = { file: 'sleep', args: () => ['${mark}'], access: { reads: [], writes: [] } }
        await runConfined({ ...tool, limits: ${JSON.stringify(limits)}, timeoutMs: 60_000 }, undefined, cage)`
      const agent = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'inherit' })
      await until(async () => isRunning(mark))
      agent.kill('SIGKILL')
      await until(async () => !(await isRunning(mark)))
    }
  })
})

/** True while a `sleep` of that many seconds runs. */
async function isRunning(seconds: string): Promise<boolean> {
  const { glob } = await import('node:fs/promises')
  for await (const file of glob('/proc/[0-9]*/cmdline')) {
    const line = await readFile(file, 'utf8').catch(() => '')
    if (line === `sleep\0${seconds}\0`) return true
  }
  return false
}
