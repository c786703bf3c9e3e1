import { execFile } from 'node:child_process'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { startAgent, type AgentProcess } from '../../support/agent-process.ts'
import { until } from '../../support/until.ts'
import { rawDisk, startImageServer, type ImageServer } from '../../unit/images/image-server.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'

const missing = await requirePrerequisite('qemu-img', missingCommand('qemu-img'))
const program = path.join(import.meta.dirname, '..', '..', '..', 'bin', 'limiquantix-node')

describe.skipIf(missing !== undefined)('commands that ask the running agent', () => {
  let directory: string
  let server: ImageServer
  let agent: AgentProcess

  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'lqx-commands-'))
    await chmod(directory, 0o711)
    server = await startImageServer(rawDisk(2 * 1024 * 1024))
    const config = {
      hypervisor: { libvirt_uri: 'qemu+unix:///system?socket=/nowhere/libvirt-sock' },
      downloads: { allow_private_addresses: true },
    }
    agent = await startAgent({ directory, config })
  })
  afterEach(async () => {
    await agent.stop()
    await server[Symbol.asyncDispose]()
    await rm(directory, { recursive: true, force: true })
  })

  const command = (...args: string[]) =>
    new Promise<{ code: number; out: string; err: string }>((resolve) => {
      execFile(program, [...args, '--config', agent.configFile], { timeout: 60_000 }, (error, out, err) =>
        resolve({ code: error === null ? 0 : Number(error.code ?? -1), out, err }),
      )
    })

  it('download an image and show jobs and images', async () => {
    const done = await command('images', 'download', `${server.origin}/ok`, '--name', 'disk.raw')
    expect(done, done.err).toMatchObject({ code: 0 })
    expect(done.out.trimEnd().split('\n').at(-1)).toMatch(/^completed 100 %/)
    const { out } = await command('jobs', '--json', '--kind', 'image.download')
    const { jobs } = JSON.parse(out) as { jobs: { jobId: string; state: string }[] }
    expect(jobs).toMatchObject([{ state: 'completed' }])
    const jobId = jobs[0]?.jobId ?? ''
    expect((await command('jobs', 'show', jobId)).out).toContain(`targetPath: ${agent.stateDir}/cloud-images/disk.raw`)
    expect((await command('jobs', 'log', jobId)).out).toContain('phase downloading')
    const listed = await until(async () => {
      const images = (await command('images')).out
      return images.includes('disk.raw') ? images : undefined
    })
    expect(listed).toMatch(/^ID +FILE +POOL/)
    expect((await command('images', 'catalog')).out).toMatch(
      /debian-13 +Debian 13 \(trixie\) +x86_64 +debian +built-in/,
    )
  })

  it('tell by the exit code and in words what did not go well', async () => {
    const failed = await command('images', 'download', `${server.origin}/404`, '--name', 'x.raw')
    expect(failed.code).toBe(1)
    expect(failed.out).toContain('[DOWNLOAD_HTTP_STATUS]')
    expect(await command('jobs', 'show', 'nobody')).toMatchObject({
      code: 1,
      err: expect.stringContaining('[JOB_NOT_FOUND]') as string,
    })
    expect(await command('jobs', 'explode')).toMatchObject({ code: 2 })
    expect(await command('images', 'rm')).toMatchObject({ code: 2 })
    const nobody = await command('jobs', '--socket', path.join(directory, 'none.sock'))
    expect(nobody).toMatchObject({ code: 1, err: expect.stringContaining('AGENT_UNREACHABLE') as string })
  })
})
