import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { DownloadJob, DownloadRequest } from '../../../src/core/model.ts'
import { readManifest } from '../../../src/images/manifest.ts'
import type { ProofPolicy } from '../../../src/images/proof/proof-request.ts'
import { rawDisk } from '../../unit/images/image-server.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'
import { startTestAgent, type TestAgent } from './test-agent.ts'

const run = promisify(execFile)
const missing = await requirePrerequisite('gpg', missingCommand('gpg', 'gpgv', 'qemu-img'))
const signal = new AbortController().signal
const sha = (algorithm: string, bytes: Buffer) => createHash(algorithm).update(bytes).digest('hex')
const FILE = 'debian-12-generic-amd64.raw'

describe.skipIf(missing !== undefined)('proof of a download', () => {
  const image = rawDisk(3 * 1024 * 1024)
  const files = new Map<string, Buffer | string>()
  const asked: string[] = []
  let gnupg: string
  let keys: Record<
    'pinned' | 'other',
    { readonly public: Buffer; readonly armored: Buffer; readonly fingerprint: string }
  >
  let server: Server
  let origin: string
  let dir: string
  let agent: TestAgent

  const gpg = (...args: string[]) => run('gpg', ['--homedir', gnupg, '--batch', '--yes', '--quiet', ...args])
  const makeKey = async (name: string) => {
    await gpg('--passphrase', '', '--quick-gen-key', `${name} <${name}@publisher.example>`, 'ed25519', 'sign')
    const list = await gpg('--with-colons', '--list-keys', `${name}@publisher.example`)
    const fingerprint = /^fpr:+([0-9A-F]+):/m.exec(list.stdout)?.[1] ?? ''
    await gpg('--output', `${gnupg}/${name}.gpg`, '--export', fingerprint)
    await gpg('--output', `${gnupg}/${name}.asc`, '--armor', '--export', fingerprint)
    return {
      public: await readFile(`${gnupg}/${name}.gpg`),
      armored: await readFile(`${gnupg}/${name}.asc`),
      fingerprint,
    }
  }
  const sign = async (text: string, how: '--clearsign' | '--detach-sign', ...names: string[]) => {
    await writeFile(`${gnupg}/text`, text)
    const users = names.flatMap((name) => ['--local-user', `${name}@publisher.example`])
    await gpg(...users, '--output', `${gnupg}/signed`, how, `${gnupg}/text`)
    return readFile(`${gnupg}/signed`)
  }

  beforeAll(async () => {
    gnupg = await mkdtemp(path.join(tmpdir(), 'lqx-gnupg-'))
    keys = { pinned: await makeKey('pinned'), other: await makeKey('other') }
    server = createServer((request, response) => {
      asked.push(request.url ?? '')
      const body = request.url === `/${FILE}` ? image : files.get(request.url ?? '')
      if (body === undefined) response.writeHead(404).end()
      else response.end(body)
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  afterAll(async () => {
    await run('gpgconf', ['--homedir', gnupg, '--kill', 'all'])
    await rm(gnupg, { recursive: true, force: true })
    server.close()
  })
  beforeEach(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'lqx-proof-test-'))
    await mkdir(`${dir}/keyrings`)
    await writeFile(`${dir}/keyrings/publisher.gpg`, keys.pinned.public)
    files.clear()
    asked.length = 0
    await start()
  })
  afterEach(async () => {
    await agent.operations.shutdown(0)
    await rm(dir, { recursive: true, force: true })
  })

  const start = async (proof?: Partial<ProofPolicy>) => {
    const settings = { proof: { require: 'none', requireByPool: {}, ...proof } as const }
    agent = await startTestAgent(dir, { settings })
  }
  const request = (change: Partial<DownloadRequest>): DownloadRequest => ({
    imageId: 'i',
    catalogId: '',
    url: `${origin}/${FILE}`,
    targetDir: `${dir}/pool/cloud-images`,
    filename: '',
    poolId: 'pool-1',
    checksum: '',
    checksumType: '',
    ...change,
  })
  const download = async (change: Partial<DownloadRequest>) => {
    const { jobId } = await agent.images.download(request(change), signal)
    const record = await agent.operations.wait(jobId, signal)
    return { state: record.state, reason: record.error?.reason, message: record.error?.message ?? '' }
  }
  const kept = async () => (await readdir(`${dir}/pool/cloud-images`).catch(() => [])).sort()
  const good = () => `${sha('sha512', image)}  ${FILE}\n`
  const wrong = () => `${'0'.repeat(64)}  ${FILE}\n`

  it.each([
    ['SHA512SUMS', () => good()],
    ['SHA256SUMS', () => `${'0'.repeat(64)} *${FILE}.xz\n${sha('sha256', image)} *${FILE}\n`],
    ['CHECKSUM', () => `# ${FILE}: 3 MiB\nSHA256 (${FILE}) = ${sha('sha256', image)}\n`],
  ])('takes the digest from %s, given as checksum or checksumUrl', async (name, text) => {
    files.set(`/${name}`, text())
    expect(await download({ checksum: `${origin}/${name}` })).toMatchObject({ state: 'completed' })
    expect(await download({ checksumUrl: `${origin}/${name}`, filename: 'second.raw' })).toMatchObject({
      state: 'completed',
    })
    const manifest = await readManifest(`${dir}/pool/cloud-images/${FILE}`)
    expect(manifest).toMatchObject({ checksumGiven: true, digests: { sha256: sha('sha256', image) } })
  })

  it('tells before the first byte that the sums do not have the file', async () => {
    files.set('/SHA256SUMS', `${sha('sha256', image)}  another.raw\n`)
    const result = await download({ checksumUrl: `${origin}/SHA256SUMS` })
    expect(result).toMatchObject({ state: 'failed', reason: 'SUMS_UNUSABLE' })
    expect(result.message).toContain(FILE)
    expect(asked).toEqual(['/SHA256SUMS'])
  })

  it.each([
    ['sums of other bytes', { checksumUrl: '/SUMS' }, 'CHECKSUM_MISMATCH'],
    ['another digest of the image inside', { finalChecksum: 'f'.repeat(64) }, 'CHECKSUM_MISMATCH'],
    ['sums that are not there', { checksumUrl: '/NONE' }, 'DOWNLOAD_HTTP_STATUS'],
    ['sums of more than 1 MiB', { checksumUrl: '/HUGE' }, 'DOWNLOAD_HTTP_STATUS'],
    ['a signature that is not there', { checksumUrl: '/GOOD', signatureUrl: '/NONE' }, 'DOWNLOAD_HTTP_STATUS'],
    ['a signature that is none', { checksumUrl: '/GOOD', signatureUrl: '/GOOD' }, 'SIGNATURE_INVALID'],
  ])('refuses %s and keeps nothing', async (_name, change, reason) => {
    files.set('/SUMS', wrong())
    files.set('/GOOD', good())
    files.set('/HUGE', Buffer.alloc(1024 * 1024 + 1, good()))
    const full = Object.fromEntries(
      Object.entries(change).map(([key, value]) => [key, value.startsWith('/') ? `${origin}${value}` : value]),
    )
    expect(await download(full)).toMatchObject({ state: 'failed', reason })
    expect(await kept()).toEqual([])
  })

  it('holds a checksum and sums at the same time', async () => {
    files.set('/SUMS', wrong())
    const both = { checksum: sha('sha256', image), checksumUrl: `${origin}/SUMS` }
    expect(await download(both)).toMatchObject({ state: 'failed', reason: 'CHECKSUM_MISMATCH' })
  })

  describe('with signatures demanded', () => {
    beforeEach(async () => {
      await agent.operations.shutdown(0)
      await start({ require: 'none', requireByPool: { 'pool-1': 'signature' } })
    })

    it.each(['.gpg', '.sign', '.asc', '.sig'])('finds the detached signature beside the sums (%s)', async (suffix) => {
      files.set('/SUMS', good())
      files.set(`/SUMS${suffix}`, await sign(good(), '--detach-sign', 'other', 'pinned'))
      expect(await download({ checksumUrl: `${origin}/SUMS` })).toMatchObject({ state: 'completed' })
      const manifest = await readManifest(`${dir}/pool/cloud-images/${FILE}`)
      expect(manifest?.signer).toBe(keys.pinned.fingerprint)
    })

    it('takes clear-signed sums and armored keys', async () => {
      await rm(`${dir}/keyrings/publisher.gpg`)
      await writeFile(`${dir}/keyrings/publisher.asc`, keys.pinned.armored)
      files.set('/CHECKSUM', await sign(good(), '--clearsign', 'pinned'))
      expect(await download({ checksumUrl: `${origin}/CHECKSUM` })).toMatchObject({ state: 'completed' })
    })

    it.each([
      ['no proof at all', {}],
      ['a bare checksum', { checksum: 'a'.repeat(64) }],
    ])('refuses a request with %s at once', async (_name, change) => {
      await expect(agent.images.download(request(change), signal)).rejects.toMatchObject({ reason: 'PROOF_REQUIRED' })
    })

    it.each([
      ['unsigned sums', async () => files.set('/SUMS', good())],
      [
        'a signature of a key that is not pinned',
        async () => files.set('/SUMS', await sign(good(), '--clearsign', 'other')),
      ],
      [
        'a signature of other sums',
        async () => {
          files.set('/SUMS', good())
          files.set('/SUMS.gpg', await sign(wrong(), '--detach-sign', 'pinned'))
        },
      ],
      [
        'sums that were changed under their signature',
        async () => {
          const signed = (await sign(wrong(), '--clearsign', 'pinned')).toString()
          files.set('/SUMS', signed.replace('0'.repeat(64), sha('sha256', image)))
        },
      ],
      [
        'two messages in one file',
        async () => {
          const [ours, theirs] = [
            await sign(wrong(), '--clearsign', 'pinned'),
            await sign(good(), '--clearsign', 'other'),
          ]
          files.set('/SUMS', Buffer.concat([ours, theirs]))
        },
      ],
      [
        'no pinned key at all',
        async () => {
          await rm(`${dir}/keyrings`, { recursive: true })
          files.set('/SUMS', await sign(good(), '--clearsign', 'pinned'))
        },
      ],
    ])('refuses %s', async (_name, prepare) => {
      await prepare()
      const result = await download({ checksumUrl: `${origin}/SUMS` })
      expect(result).toMatchObject({ state: 'failed', reason: 'SIGNATURE_INVALID' })
      expect(asked).not.toContain(`/${FILE}`)
    })

    it('does not read what stands around the signed text', async () => {
      const signed = await sign(`${'0'.repeat(64)}  another.raw\n`, '--clearsign', 'pinned')
      files.set('/SUMS', Buffer.concat([Buffer.from(good()), signed, Buffer.from(good())]))
      expect(await download({ checksumUrl: `${origin}/SUMS` })).toMatchObject({ reason: 'SUMS_UNUSABLE' })
    })
  })

  it('takes clear-signed sums of a publisher nobody pinned for what any sums are worth', async () => {
    files.set('/SUMS', await sign(good(), '--clearsign', 'other'))
    expect(await download({ checksumUrl: `${origin}/SUMS` })).toMatchObject({ state: 'completed' })
    expect((await readManifest(`${dir}/pool/cloud-images/${FILE}`))?.signer).toBeUndefined()
  })

  it('refuses clear-signed sums that a pinned key did not sign so, though nobody asked for a signature', async () => {
    const signed = (await sign(wrong(), '--clearsign', 'pinned')).toString()
    files.set('/SUMS', signed.replace('0'.repeat(64), sha('sha256', image)))
    expect(await download({ checksumUrl: `${origin}/SUMS` })).toMatchObject({ reason: 'SIGNATURE_INVALID' })
  })

  it('demands a checksum where the policy does', async () => {
    await agent.operations.shutdown(0)
    await start({ require: 'checksum' })
    await expect(agent.images.download(request({}), signal)).rejects.toMatchObject({ reason: 'PROOF_REQUIRED' })
    expect(await download({ checksum: sha('sha256', image) })).toMatchObject({ state: 'completed' })
  })

  it('answers the same request at once, and another proof of the same file with a conflict', async () => {
    files.set('/SUMS', good())
    const first: DownloadJob = await agent.images.download(request({ checksumUrl: `${origin}/SUMS` }), signal)
    await agent.operations.wait(first.jobId, signal)
    files.set('/SUMS', wrong())
    expect(await download({ checksumUrl: `${origin}/SUMS` })).toMatchObject({ reason: 'IMAGE_CONFLICT' })
    files.set('/SUMS', good())
    expect(await download({ checksumUrl: `${origin}/SUMS` })).toMatchObject({ state: 'completed' })
    expect(asked.filter((url) => url === `/${FILE}`)).toHaveLength(1)
  })
})
