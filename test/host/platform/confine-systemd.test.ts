import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { missingCommand, requirePrerequisite } from '../require.ts'
import { startSystemdContainer, type SystemdContainer } from './systemd-container.ts'

const missing = await requirePrerequisite('systemd-nspawn', missingCommand('systemd-nspawn'))
const root = path.resolve(import.meta.dirname, '../../..')

/** What the agent's unit file forbids its processes, as options of systemd-run. */
async function sandbox(): Promise<string[]> {
  const unit = await readFile(path.join(root, 'systemd/limiquantix-node.service'), 'utf8')
  const settings =
    unit.match(/^(NoNewPrivileges|Restrict|Lock|Protect|SystemCall|CapabilityBoundingSet)\w*=.*$/gm) ?? []
  return settings.flatMap((setting) => ['--property', setting])
}

describe.skipIf(missing !== undefined)('below the unit of the agent', () => {
  let container: SystemdContainer
  let directory: string
  const inUnit = async (script: string) => {
    const file = path.join(directory, 'script.mjs')
    await writeFile(
      file,
      `import { runConfined, workingConfinements } from '${root}/src/platform/confine.ts'\n${script}`,
    )
    const unit = ['--quiet', '--wait', '--pipe', ...(await sandbox()), '--property', 'UMask=0022']
    return JSON.parse(await container.run('systemd-run', ...unit, process.execPath, file)) as unknown
  }

  beforeAll(async () => {
    directory = await mkdtemp('/run/lqx-confined-')
    container = await startSystemdContainer([root, directory, path.dirname(process.execPath)])
  })
  afterAll(async () => {
    await container?.[Symbol.asyncDispose]()
    await rm(directory, { recursive: true })
  })

  it('filters are nobody there, and get their bytes', async () => {
    const result = await inUnit(`
      const { runFilter } = await import('${root}/src/platform/filter-process.ts')
      const cage = (await workingConfinements()).find(({ kind }) => kind === 'systemd')
      const filter = async (script) => {
        const input = (async function* () { yield Buffer.from('one '); yield Buffer.from('two') })()
        const command = { file: 'sh', args: ['-c', script], package: 'dash', input, maxMemoryBytes: 2 ** 29 }
        let text = ''
        try {
          for await (const part of runFilter(command, new AbortController().signal, cage)) text += part
        } catch (error) {
          return error.message
        }
        return text
      }
      console.log(JSON.stringify({
        upper: await filter('tr a-z A-Z'),
        user: await filter('cat > /dev/null; id -u; id -g'),
        file: await filter('cat ${root}/package.json 2>/dev/null || echo none'),
        arenas: await filter('echo $MALLOC_ARENA_MAX'),
        failed: await filter('echo bad >&2; exit 4'),
      }))`)
    expect(result).toEqual({
      upper: 'ONE TWO',
      user: '65534\n65534\n',
      file: 'none\n',
      arenas: '1\n',
      failed: expect.stringContaining('ended with exit code 4: bad') as string,
    })
  })

  it('tools are confined by systemd: they see one file, change another, and nothing else', async () => {
    const [image, output, secret] = ['a "b": $c.img', 'output', 'secret'].map((name) => path.join(directory, name))
    for (const file of [image, output, secret]) await writeFile(file ?? '', 'content', { mode: 0o600 })
    const result = await inUnit(`
      const cages = await workingConfinements()
      const tool = async (script) => {
        const outcome = await runConfined({
          file: 'sh',
          args: (inside) => ['-c', script, 'sh', inside(${JSON.stringify(image)}), inside(${JSON.stringify(output)})],
          access: { reads: [${JSON.stringify(image)}], writes: [${JSON.stringify(output)}] },
          limits: { addressSpaceBytes: 2 ** 30, cpuSeconds: 20, fileBytes: 2 ** 20 },
          timeoutMs: 20_000,
        }).catch((error) => error)
        return outcome instanceof Error ? outcome.message : outcome.stdout.trim()
      }
      console.log(JSON.stringify({
        kinds: cages.map(({ kind }) => kind),
        read: await tool('cat "$1"'),
        written: await tool('echo written > "$2" && cat "$2"'),
        changed: await tool('echo changed > "$1"'),
        secret: await tool('cat "$(dirname "$1")/secret"'),
        network: await tool('cat /proc/net/dev | grep -c eth || true; ls /etc'),
      }))`)
    expect(result).toEqual({
      kinds: ['systemd', 'rlimits'],
      read: 'content',
      written: 'written',
      changed: expect.stringMatching(/Read-only file system/) as string,
      secret: expect.stringMatching(/No such file/) as string,
      network: expect.stringMatching(/^0\s+ld\.so\.cache$/) as string,
    })
    expect(await readFile(output ?? '', 'utf8')).toBe('written\n')
  })

  it('devices and the network of the host are there for tools that are given them', async () => {
    const result = await inUnit(`
      const { createServer } = await import('node:net')
      const server = createServer((socket) => socket.end('reached'))
      await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
      const tool = async (script, access) => {
        const outcome = await runConfined({
          file: 'sh',
          args: (inside) => ['-c', script, 'sh', inside('/dev/zero'), inside('/dev/full')],
          access,
          limits: { addressSpaceBytes: 2 ** 30, cpuSeconds: 20, fileBytes: 2 ** 20 },
          timeoutMs: 20_000,
        }).catch((error) => error)
        return outcome instanceof Error ? outcome.message : outcome.stdout.trim()
      }
      const connect = \`import socket; print(socket.create_connection(("127.0.0.1", \${server.address().port}), 15).recv(9).decode())\`
      const reach = (access) => tool("python3 -c '" + connect + "'", { reads: ['/dev/zero'], writes: ['/dev/full'], ...access })
      console.log(JSON.stringify({
        read: await tool('head -c 3 "$1" | wc -c', { reads: ['/dev/zero'], writes: [] }),
        written: await tool('echo some > "$2"', { reads: [], writes: ['/dev/zero', '/dev/full'] }),
        network: await reach({ network: true }),
        none: await reach({}),
      }))
      server.close()`)
    expect(result).toEqual({
      read: '3',
      written: expect.stringMatching(/I\/O error|No space/) as string,
      network: 'reached',
      none: expect.stringMatching(/Address family not supported|not permitted/) as string,
    })
  })

  it('a tool ends with the deadline', async () => {
    const result = await inUnit(`
      const limits = { addressSpaceBytes: 2 ** 30, cpuSeconds: 20, fileBytes: 2 ** 20 }
      const tool = { file: 'sleep', args: () => ['64.25'], access: { reads: [], writes: [] }, limits, timeoutMs: 1_000 }
      console.log(JSON.stringify(await runConfined(tool).catch(({ reason }) => reason)))`)
    expect(result).toBe('DEADLINE_EXCEEDED')
    await expect(container.run('pgrep', '--full', 'sleep 64.25')).rejects.toThrow()
  })
})
