import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { rawDisk } from '../../unit/images/image-server.ts'
import { startAgent, type AgentProcess } from '../../support/agent-process.ts'
import { until } from '../../support/until.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'

const exec = promisify(execFile)
const missing = await requirePrerequisite('image tools', missingCommand('qemu-img', 'xz'))
const MIB = 1024 * 1024
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

interface Job {
  readonly status: string
  readonly errorMessage: string | null
}

describe.skipIf(missing !== undefined)('images from callers and from this host', () => {
  const disk = rawDisk(24 * MIB)
  let dir: string
  let agent: AgentProcess
  let images: string

  const start = async () => {
    agent = await startAgent({
      directory: `${dir}/agent`,
      config: { downloads: { allowed_dirs: [`${dir}/images`] } },
    })
  }
  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'lqx-uploads-'))
    images = `${dir}/images`
    await start()
  })
  afterAll(async () => {
    await agent.stop()
    await rm(dir, { recursive: true, force: true })
  })

  const ask = async (method: string, url: string, body?: unknown, headers: Record<string, string> = {}) => {
    const isJson = body !== undefined && !(body instanceof Uint8Array) && !(body instanceof FormData)
    const response = await fetch(`${agent.httpUrl}/api/v1${url}`, {
      method,
      headers: { ...(isJson ? { 'content-type': 'application/json' } : {}), ...headers },
      ...(body === undefined ? {} : { body: isJson ? JSON.stringify(body) : (body as FormData) }),
    })
    const text = await response.text()
    return {
      status: response.status,
      headers: response.headers,
      body: (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>,
    }
  }
  const range = (first: number, last: number, total: number | '*') => ({
    'content-range': `bytes ${first}-${last}/${total}`,
  })
  const ended = (url: string) =>
    until(async () => {
      const job = (await ask('GET', url)).body as unknown as Job
      return job.status === 'completed' || job.status === 'failed' ? job : undefined
    }, 60_000)
  const begin = async (filename: string, change: object = {}) => {
    const { status, body } = await ask('POST', '/images/uploads', { filename, targetDir: images, ...change })
    expect([status, body['offset']]).toEqual([201, 0])
    return String(body['uploadId'])
  }
  const kept = async () => (await readdir(images)).sort()

  it('takes an upload in pieces over a kill of the agent, and proves the whole', async () => {
    const id = await begin('disk.raw', { sizeBytes: disk.length, checksum: sha256(disk) })
    const url = `/images/uploads/${id}`
    const first = await ask('PUT', url, disk.subarray(0, 5 * MIB), range(0, 5 * MIB - 1, disk.length))
    expect(first).toMatchObject({ status: 200, body: { offset: 5 * MIB, sizeBytes: disk.length } })

    // The next piece is cut by a kill in its middle.
    const { hostname, port } = new URL(agent.httpUrl)
    const cut = httpRequest({
      hostname,
      port,
      path: `/api/v1${url}`,
      method: 'PUT',
      headers: { ...range(5 * MIB, disk.length - 1, disk.length), 'content-length': disk.length - 5 * MIB },
    })
    cut.on('error', () => undefined)
    cut.write(disk.subarray(5 * MIB, 9 * MIB))
    const [temp] = (await kept()).filter((name) => name.endsWith('.lqxtmp'))
    await until(async () => ((await stat(`${images}/${temp}`)).size > 6 * MIB ? true : undefined), 20_000)
    agent.kill('SIGKILL')
    await agent.exited
    cut.destroy()
    await start()

    const head = await fetch(`${agent.httpUrl}/api/v1${url}`, { method: 'HEAD' })
    const offset = Number(head.headers.get('upload-offset'))
    expect([head.status, offset]).toEqual([200, 5 * MIB])
    expect(await ask('PUT', url, disk.subarray(0, MIB), range(0, MIB - 1, disk.length))).toMatchObject({
      body: { error: 'upload_offset' },
    })
    expect(await ask('POST', `${url}/finish`)).toMatchObject({ body: { error: 'upload_incomplete' } })
    const rest = await ask('PUT', url, disk.subarray(offset), range(offset, disk.length - 1, disk.length))
    expect(rest).toMatchObject({ status: 200, body: { offset: disk.length } })
    expect(await ask('POST', `${url}/finish`)).toMatchObject({ status: 200, body: { jobId: id } })
    // An answer that got lost: the same again.
    expect(await ask('POST', `${url}/finish`)).toMatchObject({ status: 200, body: { jobId: id } })
    expect(await ended(`/images/download/${id}`)).toMatchObject({ status: 'completed' })
    expect(sha256(await readFile(`${images}/disk.raw`))).toBe(sha256(disk))
    expect(await kept()).toEqual(['.disk.raw.lqx.json', 'disk.raw'])
    expect((await ask('GET', url)).status).toBe(404)
  })

  it('keeps what a broken connection brought', async () => {
    const id = await begin('broken.raw')
    const { hostname, port } = new URL(agent.httpUrl)
    const cut = httpRequest({
      hostname,
      port,
      path: `/api/v1/images/uploads/${id}`,
      method: 'PUT',
      headers: { 'content-length': disk.length },
    })
    cut.on('error', () => undefined)
    cut.write(disk.subarray(0, 3 * MIB + 5), () => cut.destroy())
    const offset = await until(
      async () => Number((await ask('GET', `/images/uploads/${id}`)).body['offset']) || undefined,
      20_000,
    )
    expect(offset).toBeLessThanOrEqual(3 * MIB + 5)
    expect((await ask('DELETE', `/images/uploads/${id}`)).status).toBe(204)
    expect((await kept()).filter((name) => name.includes(id))).toEqual([])
  })

  it.each([
    ['a web page', Buffer.from('<!doctype html><html>'.repeat(4000)), 'image_not_an_image'],
    ['more than was announced', disk, 'invalid_request'],
  ])('refuses %s', async (_name, bytes, error) => {
    const id = await begin('refused.raw', { sizeBytes: 20 * MIB })
    const { status, body } = await ask('PUT', `/images/uploads/${id}`, bytes, range(0, bytes.length - 1, '*'))
    expect(status).toBeGreaterThanOrEqual(400)
    expect(body['error']).toBe(error)
    await ask('DELETE', `/images/uploads/${id}`)
  })

  it('refuses an upload with another checksum and keeps nothing', async () => {
    const id = await begin('wrong.raw', { checksum: 'a'.repeat(64) })
    await ask('PUT', `/images/uploads/${id}`, disk)
    await ask('POST', `/images/uploads/${id}/finish`)
    const job = await ended(`/images/download/${id}`)
    expect(job).toMatchObject({ status: 'failed', errorMessage: expect.stringContaining('sha256 is') as string })
    expect(await kept()).not.toContain('wrong.raw')
  })

  it('takes a compressed image as multipart, proves it and answers when it is in place', async () => {
    await writeFile(`${dir}/form.raw`, disk)
    await exec('xz', ['-0kf', `${dir}/form.raw`])
    const packed = await readFile(`${dir}/form.raw.xz`)
    const form = (checksum: string, name: string) => {
      const data = new FormData()
      data.set('targetDir', images)
      data.set('checksum', checksum)
      data.set('filename', name)
      data.set('file', new Blob([packed]), 'form.raw.xz')
      return data
    }
    const good = await ask('POST', '/images/upload', form(sha256(packed), 'form.raw'))
    expect(good).toMatchObject({
      status: 200,
      body: {
        success: true,
        filename: 'form.raw',
        path: `${images}/form.raw`,
        iso: { full_path: `${images}/form.raw` },
      },
    })
    expect(sha256(await readFile(`${images}/form.raw`))).toBe(sha256(disk))
    const bad = await ask('POST', '/storage/upload', form(sha256(disk), 'bad.raw'))
    expect(bad).toMatchObject({ status: 400 })
    expect((await kept()).filter((name) => name.includes('bad'))).toEqual([])
  })

  it('converts a file of an allowed directory, and tells what is missing', async () => {
    await exec('qemu-img', [
      'convert',
      '-f',
      'raw',
      '-O',
      'vmdk',
      '-o',
      'subformat=streamOptimized',
      `${images}/disk.raw`,
      `${images}/in.vmdk`,
    ])
    const gone = await ask('POST', '/storage/convert', {
      sourcePath: `${images}/none.vmdk`,
      destPath: `${images}/out.qcow2`,
    })
    expect(gone).toMatchObject({ status: 400, body: { error: 'source_not_found' } })
    expect(await ask('GET', '/storage/convert/unknown')).toMatchObject({
      status: 404,
      body: { error: 'job_not_found' },
    })
    const outside = { sourcePath: '/etc/passwd', destPath: `${images}/out.qcow2` }
    expect(await ask('POST', '/storage/convert', outside)).toMatchObject({
      status: 400,
      body: { error: 'source_refused' },
    })
    const order = { sourcePath: `${images}/in.vmdk`, destPath: `${images}/out.qcow2`, sourceFormat: 'vmdk' }
    const { status, body } = await ask('POST', '/storage/convert', order)
    expect([status, body['destPath']]).toEqual([200, order.destPath])
    expect(await ended(`/storage/convert/${String(body['jobId'])}`)).toMatchObject({
      status: 'completed',
      ...{ sourcePath: order.sourcePath },
    })
    await exec('qemu-img', ['compare', '-f', 'qcow2', '-F', 'raw', order.destPath, `${images}/disk.raw`])
    const again = await ask('POST', '/storage/convert', {
      ...order,
      sourceFormat: 'vdi',
      destPath: `${images}/other.qcow2`,
    })
    expect(await ended(`/storage/convert/${String(again.body['jobId'])}`)).toMatchObject({ status: 'failed' })
  })

  it('verifies an image byte by byte', async () => {
    const file = `${images}/disk.raw`
    const verified = async () => {
      const { body } = await ask('POST', '/images/verify', { path: file })
      return until(async () => {
        const job = (await ask('GET', `/jobs/${String(body['jobId'])}`)).body
        return job['state'] === 'completed' || job['state'] === 'failed' ? job : undefined
      }, 30_000)
    }
    // Touched, but the same: it counts again.
    await utimes(file, new Date(), new Date(1_000_000))
    expect(await verified()).toMatchObject({ state: 'completed' })
    const { mtimeMs } = JSON.parse(await readFile(`${images}/.disk.raw.lqx.json`, 'utf8')) as { mtimeMs: number }
    expect(mtimeMs).toBe((await stat(file)).mtimeMs)
    const bytes = await readFile(file)
    bytes.writeUInt8(bytes.readUInt8(MIB) ^ 1, MIB)
    await writeFile(file, bytes)
    expect(await verified()).toMatchObject({ state: 'failed', error: { reason: 'image_changed' } })
  })
})
