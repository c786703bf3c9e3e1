import { mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { workingConfinements } from '../../../src/platform/confine.ts'
import { runFilter, type FilterCommand } from '../../../src/platform/filter-process.ts'
import { missingCommand, missingRoot, requirePrerequisite } from '../require.ts'

await requirePrerequisite('bubblewrap', missingCommand('bwrap'))
const missing = await requirePrerequisite('root', missingRoot)
const cages = await workingConfinements()
const MIB = 1024 * 1024

describe.skipIf(missing !== undefined).each(cages)('a filter confined by $kind', (cage) => {
  let directory: string
  const signal = new AbortController().signal
  const filter = async (script: string, change: Partial<FilterCommand> = {}) => {
    const command = { file: 'sh', args: ['-c', script], package: 'dash', input: pieces(), maxMemoryBytes: 512 * MIB }
    const parts: Buffer[] = []
    for await (const part of runFilter({ ...command, ...change }, signal, cage)) parts.push(part)
    return Buffer.concat(parts).toString()
  }
  async function* pieces(): AsyncGenerator<Buffer> {
    yield Buffer.from('one ')
    yield Buffer.from('two')
  }

  beforeAll(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'lqx-filter-'))
    await writeFile(`${directory}/file`, 'from a file')
  })
  afterAll(() => rm(directory, { recursive: true }))

  it('turns bytes into bytes, from a stream or a file', async () => {
    expect(await filter('tr a-z A-Z')).toBe('ONE TWO')
    await using file = await open(`${directory}/file`)
    expect(await filter('tr a-z A-Z', { input: { fd: file.fd } })).toBe('FROM A FILE')
    expect((await filter('wc -c', { input: many(64 * MIB) })).trim()).toBe(String(64 * MIB))
  })

  it('is nobody, has no right, and makes no file', async () => {
    expect((await filter('cat > /dev/null; id -u; id -g')).split('\n')).toEqual(['65534', '65534', ''])
    expect(await filter('grep -E "^(CapEff|CapBnd|NoNewPrivs)" /proc/self/status || :')).not.toMatch(/[1-9a-f]{4}$/m)
    await expect(filter('echo x > /tmp/lqx-filter-new')).rejects.toMatchObject({ reason: 'COMMAND_FAILED' })
  })

  it('tells how it ended', async () => {
    await expect(filter('echo bad input >&2; exit 4')).rejects.toThrow(/sh ended with exit code 4: bad input/)
    const missingTool = { file: 'no-such-tool', args: [], package: 'no-such-package' }
    await expect(filter('', missingTool)).rejects.toMatchObject({ reason: 'COMMAND_MISSING' })
  })

  it('ends when nobody wants its output', async () => {
    const stop = new AbortController()
    const command = { file: 'cat', args: [], package: 'coreutils', input: endless(), maxMemoryBytes: 512 * MIB }
    await expect(
      (async () => {
        for await (const part of runFilter(command, stop.signal, cage)) {
          if (part.length > 0) stop.abort(new Error('enough'))
        }
      })(),
    ).rejects.toThrow('enough')
    for await (const part of runFilter({ ...command, input: endless() }, signal, cage)) if (part.length > 0) break
  })

  it('that has read enough ends, however much more there is', async () => {
    expect((await filter('head -c 3 | wc -c', { input: endless() })).trim()).toBe('3')
  })

  if (cage.kind === 'rlimits') return

  it('has no network and sees no file but programs', async () => {
    expect(await filter(`cat ${directory}/file /etc/passwd 2>/dev/null || echo none`)).toBe('none\n')
    const connect = 'import socket; socket.create_connection(("127.0.0.1", 22), 2)'
    await expect(filter('', { file: 'python3', args: ['-c', connect] })).rejects.toThrow(
      /unreachable|refused|not permitted|not supported/i,
    )
  })
})

async function* many(bytes: number): AsyncGenerator<Buffer> {
  for (let left = bytes; left > 0; left -= MIB) yield Buffer.alloc(MIB)
}

async function* endless(): AsyncGenerator<Buffer> {
  for (;;) yield Buffer.alloc(MIB)
}
