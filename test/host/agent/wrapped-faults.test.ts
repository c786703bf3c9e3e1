import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { rawDisk } from '../../unit/images/image-server.ts'
import { startAgent, type AgentProcess } from '../../support/agent-process.ts'
import { until } from '../../support/until.ts'
import { missingCommand, missingRoot, requirePrerequisite } from '../require.ts'

const exec = promisify(execFile)
const missing = await requirePrerequisite('image tools', missingCommand('qemu-img', 'bzip2'))
const noRoot = await requirePrerequisite('root', missingRoot)
const MIB = 1024 * 1024

describe.skipIf(missing !== undefined || noRoot !== undefined)(
  'faults while an image is unwrapped and converted',
  () => {
    const disk = rawDisk(48 * MIB)
    let dir: string
    let incoming: string
    let agent: AgentProcess | undefined
    const mounts: string[] = []

    const start = async (target: string) => {
      agent = await startAgent({
        directory: `${dir}/agent`,
        config: { downloads: { allowed_dirs: [incoming, target] } },
      })
    }
    beforeEach(async () => {
      dir = await mkdtemp(path.join(tmpdir(), 'lqx-wrapped-faults-'))
      incoming = `${dir}/incoming`
      await mkdir(incoming)
      await writeFile(`${incoming}/disk.raw`, disk)
    })
    afterEach(async () => {
      await agent?.stop()
      for (const mount of mounts.splice(0)) await exec('umount', [mount])
      await rm(dir, { recursive: true, force: true })
    })

    const begin = async (file: string, targetDir: string, change: object = {}) => {
      const response = await fetch(`${agent?.httpUrl}/api/v1/images/download`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ imageId: 'i', url: `${incoming}/${file}`, targetDir, filename: 'out.img', ...change }),
      })
      return ((await response.json()) as { jobId: string }).jobId
    }
    const jobOf = async (id: string) => {
      const response = await fetch(`${agent?.httpUrl}/api/v1/jobs/${id}`)
      return (await response.json()) as { state: string; error: { reason: string } | null }
    }
    const ended = (id: string) =>
      until(async () => {
        const job = await jobOf(id)
        return ['completed', 'failed'].includes(job.state) ? job : undefined
      }, 120_000)
    const temps = async (target: string) => (await readdir(target)).filter((name) => name.endsWith('.lqxtmp'))
    const killWhen = async (target: string, part: string) => {
      await until(async () => (await temps(target)).some((name) => name.includes(part)), 60_000)
      agent?.kill('SIGKILL')
      await agent?.exited
    }

    it('goes on after a kill in the middle of each, with the same result', async () => {
      const target = `${dir}/images`
      await exec('bzip2', ['-k', `${incoming}/disk.raw`])
      await start(target)
      const id = await begin('disk.raw.bz2', target, { compress: true })
      await killWhen(target, 'unwrapped')
      await start(target)
      await killWhen(target, 'converted')
      await start(target)
      expect(await ended(id)).toMatchObject({ state: 'completed', error: null })
      expect((await readdir(target)).sort()).toEqual(['.out.img.lqx.json', 'out.img'])
      await exec('qemu-img', ['compare', '-f', 'qcow2', '-F', 'raw', `${target}/out.img`, `${incoming}/disk.raw`])
      const manifest = JSON.parse(await readFile(`${target}/.out.img.lqx.json`, 'utf8')) as Record<
        string,
        Record<string, object>
      >
      expect(manifest['image']?.['digests']).toEqual({ sha256: createHash('sha256').update(disk).digest('hex') })
      expect(manifest['origin']).toMatchObject({ layers: ['bzip2'], format: 'raw' })
    })

    it.each([
      ['the copy', 'disk.raw', 30, {}],
      ['what is inside', 'disk.raw.gz', 60, {}],
      ['the conversion', 'disk.raw', 80, { format: 'qcow2' }],
    ])('a disk that is too small for %s ends the job and keeps nothing', async (_name, file, mib, change) => {
      const target = `${dir}/small`
      await mkdir(target)
      await exec('mount', ['-t', 'tmpfs', '-o', `size=${mib}m`, 'tmpfs', target])
      mounts.push(target)
      await exec('gzip', ['-1k', `${incoming}/disk.raw`])
      await start(target)
      expect(await ended(await begin(file, target, change))).toMatchObject({
        state: 'failed',
        error: { reason: 'pool_full' },
      })
      expect(await readdir(target)).toEqual([])
    })
  },
)
