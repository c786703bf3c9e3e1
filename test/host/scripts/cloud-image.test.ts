import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { missingCommand, missingRoot, requirePrerequisite } from '../require.ts'
import { checkoutPath, runScript } from './run-script.ts'

const script = checkoutPath('scripts/cloud-image')
const lacking = await requirePrerequisite(
  'cloud-image',
  async () => missingRoot() ?? (await missingCommand('mmdebstrap', 'syslinux', 'mcopy', 'mkfs.vfat', 'qemu-img')()),
)

describe.skipIf(lacking)('cloud-image', () => {
  let scratch: string

  beforeEach(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'lqx-cloud-image-'))
  })

  afterEach(() => rm(scratch, { recursive: true, force: true }))

  test('builds once: the second run prints the same directory and touches nothing', { timeout: 600_000 }, async () => {
    const first = await runScript(script, [], { timeoutMs: 590_000 })
    expect(first.code).toBe(0)
    const directory = first.stdout.trim()
    expect(basename(directory)).toMatch(/^[0-9a-f]{64}$/)
    expect((await readdir(directory)).sort()).toEqual(['SHA256SUMS', 'debian-12.qcow2', 'manifest.txt'])
    const { ino, mtimeMs } = await stat(join(directory, 'debian-12.qcow2'))

    const second = await runScript(script)
    expect(second).toMatchObject({ code: 0, stdout: first.stdout })
    expect(second.stderr).toContain('using the cached image')
    expect(await stat(join(directory, 'debian-12.qcow2'))).toMatchObject({ ino, mtimeMs })

    const hash = createHash('sha256')
    await pipeline(createReadStream(join(directory, 'debian-12.qcow2')), hash)
    expect(await readFile(join(directory, 'SHA256SUMS'), 'utf8')).toBe(`${hash.digest('hex')}  debian-12.qcow2\n`)

    const info = await runScript('qemu-img', ['info', '--output=json', join(directory, 'debian-12.qcow2')])
    expect(JSON.parse(info.stdout)).toMatchObject({ format: 'qcow2' })
    expect(info.stdout).not.toContain('backing')
    const manifest = await readFile(join(directory, 'manifest.txt'), 'utf8')
    for (const name of ['cloud-init', 'qemu-guest-agent', 'sudo']) expect(manifest).toContain(`\n${name} `)
  })

  test('a failed build says so and leaves nothing', async () => {
    await writeFile(join(scratch, 'mmdebstrap'), '#!/bin/sh\nmkdir -p "$9"\necho "E: no mirror" >&2\nexit 25\n', {
      mode: 0o755,
    })
    const cache = join(scratch, 'cache')
    const result = await runScript(script, [], {
      env: { PATH: `${scratch}:${process.env['PATH'] ?? ''}`, LIMIQUANTIX_CACHE: cache },
    })
    expect(result).toMatchObject({ code: 1, stdout: '' })
    expect(result.stderr).toContain('E: no mirror')
    expect(result.stderr).toContain('mmdebstrap failed')
    expect(await readdir(join(cache, 'cloud-image'))).toEqual(['.lock'])
  })
})
