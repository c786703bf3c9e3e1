import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { startAgent, type AgentProcess } from '../../support/agent-process.ts'
import { until } from '../../support/until.ts'
import { rawDisk } from '../../unit/images/image-server.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'

const missing = await requirePrerequisite('qemu-img', missingCommand('qemu-img'))

describe.skipIf(missing !== undefined)('the catalog in a closed network', () => {
  const image = rawDisk(2 * 1024 * 1024)
  const digest = createHash('sha512').update(image).digest('hex')
  const poolId = 'cat-pool'
  let directory: string
  let agent: AgentProcess
  let mirror: Server
  let files: Record<string, Buffer | string>
  const asked: string[] = []

  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'lqx-catalog-'))
    await chmod(directory, 0o711)
    files = {}
    asked.length = 0
    mirror = createServer((request, response) => {
      asked.push(request.url ?? '')
      const body = files[request.url ?? '']
      if (body === undefined) response.writeHead(404).end()
      else response.writeHead(200, { 'content-length': Buffer.byteLength(body) }).end(body)
    })
    mirror.listen(0, '127.0.0.1')
    await once(mirror, 'listening')
    const origin = `http://127.0.0.1:${(mirror.address() as AddressInfo).port}`
    const catalog = path.join(directory, 'catalog.d')
    await mkdir(catalog)
    await writeFile(
      path.join(catalog, 'site.json'),
      JSON.stringify({
        images: [
          {
            id: 'golden',
            url: 'https://images.example.org/golden/disk.raw',
            checksumUrl: 'https://images.example.org/golden/SHA512SUMS',
            format: 'raw',
          },
        ],
      }),
    )
    agent = await startAgent({
      directory,
      config: {
        hypervisor: { libvirt_uri: 'qemu+unix:///system?socket=/nowhere/libvirt-sock' },
        downloads: { stall_timeout_secs: 5 },
        images: {
          catalog_dir: catalog,
          url_rewrite: [
            { from: 'https://images.example.org/', to: `${origin}/site/` },
            { from: 'https://cloud.debian.org/images/cloud/', to: `${origin}/debian/` },
          ],
        },
      },
    })
    expect((await post('/api/v1/storage/pools', { poolId, type: 'LOCAL_DIR', path: `${directory}/pool` })).status).toBe(
      200,
    )
  })
  afterEach(async () => {
    await agent.stop()
    mirror.closeAllConnections()
    mirror.close()
    await rm(directory, { recursive: true, force: true })
  })

  const post = (url: string, body: object) =>
    fetch(`${agent.httpUrl}${url}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  const download = async (body: object) => {
    const response = await post('/api/v1/images/download', body)
    const answer = (await response.json()) as { jobId: string; targetPath: string; error?: string }
    if (response.status !== 200) return { status: response.status, ...answer }
    const job = await until(async () => {
      const now = (await (await fetch(`${agent.httpUrl}/api/v1/jobs/${answer.jobId}`)).json()) as {
        state: string
        error: { reason: string; message: string } | null
      }
      return ['completed', 'failed'].includes(now.state) ? now : undefined
    })
    return { ...answer, ...job }
  }

  it('fetches an image and its sums from the mirror, and nothing else', async () => {
    files['/site/golden/disk.raw'] = image
    files['/site/golden/SHA512SUMS'] = `${digest}  disk.raw\n`
    const done = await download({ catalogId: 'golden', poolId, filename: 'golden.raw' })
    expect(done).toMatchObject({ state: 'completed', targetPath: `${directory}/pool/cloud-images/golden.raw` })
    expect([...new Set(asked)].sort()).toEqual(['/site/golden/SHA512SUMS', '/site/golden/disk.raw'])
  })

  it('does the same for images of the built-in catalog, and refuses bytes that the sums do not prove', async () => {
    const file = 'debian-12-generic-amd64.qcow2'
    files[`/debian/bookworm/latest/${file}`] = image
    files['/debian/bookworm/latest/SHA512SUMS'] = `${'0'.repeat(128)}  ${file}\n`
    const refused = await download({ catalogId: 'debian-12', poolId, filename: 'debian-12.raw' })
    expect(refused).toMatchObject({ state: 'failed', error: { reason: 'checksum_mismatch' } })
    expect(existsSync(`${directory}/pool/cloud-images/debian-12.raw`)).toBe(false)
    files['/debian/bookworm/latest/SHA512SUMS'] = `${digest}  ${file}\n`
    const done = await download({ catalogId: 'debian-12', poolId, filename: 'debian-12.raw' })
    expect(done).toMatchObject({ state: 'completed' })
  })

  it('shows what it has, and opens private addresses to nobody but the mirror', async () => {
    const catalog = (await (await fetch(`${agent.httpUrl}/api/v1/images/catalog`)).json()) as {
      images: { id: string; origin: string }[]
      problems: unknown[]
    }
    expect(catalog.problems).toEqual([])
    expect(catalog.images).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ id: 'golden', origin: 'site.json' }),
        expect.objectContaining({ id: 'debian-13', origin: 'built-in', defaultUser: 'debian' }),
      ]),
    )
    const refused = await download({ imageId: 'i', url: 'http://127.0.0.1:9/x.qcow2', targetDir: `${directory}/pool` })
    expect(refused).toMatchObject({ status: 403, error: 'url_refused' })
    expect(await download({ catalogId: 'nobody', poolId })).toMatchObject({ status: 404, error: 'catalog_unknown' })
  })
})
