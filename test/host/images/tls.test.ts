import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import type { DownloadRequest } from '../../../src/core/model.ts'
import type { DownloadSettings } from '../../../src/images/download-plan.ts'
import { rawDisk } from '../../unit/images/image-server.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'
import { startTestAgent } from './test-agent.ts'

const missing = await requirePrerequisite('openssl', missingCommand('openssl', 'qemu-img'))

describe.skipIf(missing !== undefined)('a mirror with a private CA', () => {
  const image = rawDisk(21 * 1024 * 1024)
  let connections = 0
  const server = createServer((request, response) => {
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '')
    const from = Number(range?.[1] ?? 0)
    const body = image.subarray(from, Number(range?.[2] || image.length) + 1)
    const part = `bytes ${from}-${from + body.length - 1}/${image.length}`
    const facts = { etag: '"1"', 'content-length': body.length, ...(range === null ? {} : { 'content-range': part }) }
    response.writeHead(range === null ? 200 : 206, facts).end(body)
  }).on('secureConnection', () => connections++)
  // No connection is closed for having been idle for a while: their number is what the client wants.
  server.keepAliveTimeout = 10 * 60_000
  let dir: string
  let url: string

  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'lqx-tls-'))
    const args = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=mirror']
    const files = ['-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', `${dir}/key.pem`, '-out', `${dir}/ca.pem`]
    await promisify(execFile)('openssl', [...args, ...files])
    server.setSecureContext({ key: await readFile(`${dir}/key.pem`), cert: await readFile(`${dir}/ca.pem`) })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/disk.img`
  })
  afterAll(async () => {
    server.closeAllConnections()
    server.close()
    await rm(dir, { recursive: true })
  })
  afterEach(() => vi.unstubAllEnvs())

  const download = async (settings?: Partial<DownloadSettings>, change: Partial<DownloadRequest> = {}) => {
    const signal = new AbortController().signal
    const agent = await startTestAgent(dir, settings === undefined ? {} : { settings })
    const { jobId } = await agent.images.download(
      {
        imageId: 'i',
        catalogId: '',
        url,
        targetDir: `${dir}/pool`,
        filename: '',
        poolId: 'pool-1',
        checksum: '',
        checksumType: '',
        ...change,
      },
      signal,
    )
    return agent.operations.wait(jobId, signal)
  }

  it('is refused as long as the CA is unknown, with the remedy', async () => {
    const { error } = await download()
    expect(error).toMatchObject({ reason: 'DOWNLOAD_CONNECT' })
    expect(error?.message).toContain('NODE_EXTRA_CA_CERTS')
  })

  it('is trusted with the CA of the configuration', async () => {
    expect(await download({ network: { caFile: `${dir}/ca.pem` } })).toMatchObject({ state: 'completed' })
    await rm(`${dir}/pool`, { recursive: true })
  })

  it('is asked over several connections, each kept for more than one part', async () => {
    connections = 0
    const settings = { network: { caFile: `${dir}/ca.pem` } }
    expect(await download(settings, { connections: 2 })).toMatchObject({ state: 'completed' })
    expect(connections).toBe(2)
    expect((await readFile(`${dir}/pool/disk.img`)).equals(image)).toBe(true)
    await rm(`${dir}/pool`, { recursive: true })
  })

  it('fails when the CA of the configuration cannot be read', async () => {
    const { error } = await download({ network: { caFile: `${dir}/none.pem` } })
    expect(error).toMatchObject({ reason: 'CONFIG_INVALID' })
    expect(error?.message).toContain(`${dir}/none.pem`)
  })

  it('is trusted with the CA named in the environment of the agent', async () => {
    vi.stubEnv('NODE_EXTRA_CA_CERTS', `${dir}/ca.pem`)
    expect(await download()).toMatchObject({ state: 'completed' })
    expect((await readFile(`${dir}/pool/disk.img`)).equals(image)).toBe(true)
  })
})
