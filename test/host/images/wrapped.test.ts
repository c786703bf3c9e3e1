import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { DownloadRequest } from '../../../src/core/model.ts'
import { readManifest } from '../../../src/images/manifest.ts'
import { unwrapFile } from '../../../src/images/unwrap/unwrap.ts'
import { rawDisk } from '../../unit/images/image-server.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'
import { startTestAgent, type TestAgent } from './test-agent.ts'

const exec = promisify(execFile)
const tools = ['qemu-img', 'gzip', 'xz', 'zstd', 'bzip2', 'tar', 'zip']
const missing = await requirePrerequisite('image tools', missingCommand(...tools))
const signal = new AbortController().signal
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
const MIB = 1024 * 1024

const COMPRESSIONS = [
  ['gz', 'gzip', '-k'],
  ['xz', 'xz', '-k', '-0'],
  ['zst', 'zstd', '-q', '-k'],
  ['bz2', 'bzip2', '-k'],
] as const

describe.skipIf(missing !== undefined)('wrapped and foreign images', () => {
  // A disk with holes: its end is empty.
  const disk = Buffer.concat([rawDisk(3 * MIB), Buffer.alloc(61 * MIB)])
  let scratch: string
  let server: Server
  let origin: string
  let dir: string
  let agent: TestAgent

  const sh = (script: string, ...args: string[]) => exec('sh', ['-ec', script, scratch, ...args], { cwd: scratch })

  beforeAll(async () => {
    scratch = await mkdtemp(path.join(tmpdir(), 'lqx-wrapped-'))
    await writeFile(`${scratch}/disk.raw`, disk)
    await sh('qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2')
    for (const format of ['vmdk', 'vhdx', 'vpc', 'vdi']) {
      const options = format === 'vmdk' ? '-o subformat=streamOptimized' : format === 'vpc' ? '-o force_size=on' : ''
      await sh(`qemu-img convert -f raw -O ${format} ${options} disk.raw disk.${format}`)
    }
    for (const [, tool, ...options] of COMPRESSIONS) {
      for (const format of ['raw', 'qcow2']) await sh(`${tool} ${options.join(' ')} disk.${format}`)
    }
    await writeFile(`${scratch}/appliance.ovf`, '<?xml version="1.0"?><Envelope/>\n')
    await sh(
      'for f in appliance.ovf disk.vmdk; do echo "SHA256($f)= $(sha256sum < $f | cut -d" " -f1)"; done > appliance.mf',
    )
    await sh('tar --format=ustar -cf appliance.ova appliance.ovf appliance.mf disk.vmdk')
    await sh(
      'mkdir -p late; for f in appliance.ovf disk.vmdk; do echo "SHA1 ($f) = $(sha1sum < $f | cut -d" " -f1)"; done > late/a.mf; tar --format=ustar -cf mf-last.ova appliance.ovf disk.vmdk -C late a.mf',
    )
    const zeros = '0'.repeat(64)
    const spoilt: [name: string, change: string][] = [
      ['other-disk', `sed 's/^SHA256(disk.vmdk).*/SHA256(disk.vmdk)= ${zeros}/'`],
      ['other-ovf', `sed 's/^SHA256(appliance.ovf).*/SHA256(appliance.ovf)= ${zeros}/'`],
      ['no-disk', 'grep -v disk'],
      ['more-files', "sed 'p; s/disk.vmdk/gone.vmdk/'"],
    ]
    for (const [name, change] of spoilt) {
      await sh(
        `mkdir ${name}; ${change} appliance.mf > ${name}/a.mf; tar --format=ustar -cf ${name}.ova appliance.ovf disk.vmdk -C ${name} a.mf`,
      )
    }
    await sh('fallocate -d disk.raw; tar --format=oldgnu -S -czf gce.tar.gz disk.raw')
    await sh(
      'mkdir -p sub; cp disk.qcow2 sub/; tar -cf links.tar appliance.mf sub; tar -rf links.tar --transform=s,^,../../etc/, disk.qcow2 2>/dev/null; ln -sf /etc/passwd link; tar -cJf one.tar.xz link sub',
    )
    await sh(
      'zip -q stored.zip -0 disk.qcow2 appliance.mf; zip -q deflated.zip disk.raw appliance.mf; zip -q two.zip disk.raw disk.qcow2; zip -q none.zip appliance.mf',
    )
    await sh('gzip -k disk.vmdk; tar -cf gz-disk.ova appliance.ovf disk.vmdk.gz')
    await sh(
      'head -c 100000 disk.raw.xz > cut.raw.xz; head -c 300000 disk.qcow2.zst > cut.qcow2.zst; head -c 400000 disk.raw.gz > cut.raw.gz; head -c 200000 disk.raw.bz2 > cut.raw.bz2; head -c 2000000 appliance.ova > cut.ova; head -c 900000 deflated.zip > cut.zip',
    )
    await sh('cp disk.qcow2 n0; for n in 1 2 3 4 5; do gzip -1 -c n$((n-1)) > n$n; done; mv n5 nested.gz')
    await sh('printf "<!doctype html><html>sign in</html>" | gzip > page.gz; gzip -c appliance.ovf > text.gz')
    await writeFile(
      `${scratch}/trailing.raw.gz`,
      Buffer.concat([await readFile(`${scratch}/disk.raw.gz`), Buffer.from('trailing garbage')]),
    )
    server = createServer((request, response) => {
      readFile(path.join(scratch, path.basename(request.url ?? ''))).then(
        (body) => response.writeHead(200, { 'content-length': body.length }).end(body),
        () => response.writeHead(404).end(),
      )
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }, 120_000)
  afterAll(async () => {
    server.close()
    await rm(scratch, { recursive: true, force: true })
  })
  beforeEach(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'lqx-wrapped-test-'))
    agent = await startTestAgent(dir)
  })
  afterEach(async () => {
    await agent.operations.shutdown(0)
    await rm(dir, { recursive: true, force: true })
  })

  const target = () => `${dir}/pool/cloud-images`
  const download = async (file: string, change: Partial<DownloadRequest> = {}) => {
    const request = {
      imageId: 'i',
      catalogId: '',
      url: `${origin}/${file}`,
      targetDir: target(),
      filename: '',
      poolId: 'pool-1',
      checksum: '',
      checksumType: '',
      ...change,
    }
    const { jobId, targetPath } = await agent.images.download(request, signal)
    const { state, error, result } = await agent.operations.wait(jobId, signal)
    return { state, reason: error?.reason, message: error?.message ?? '', result, targetPath }
  }
  const kept = async () => (await readdir(target()).catch(() => [])).sort()
  /** The disk that a guest would see. */
  const content = async (file: string, format: string) => {
    await exec('qemu-img', ['convert', '-f', format, '-O', 'raw', file, `${dir}/seen`])
    return sha256(await readFile(`${dir}/seen`))
  }

  describe.each(COMPRESSIONS.map(([ending]) => ending))('%s', (ending) => {
    it.each(['raw', 'qcow2'])(
      'of a %s image is taken off, sparse, with both digests in the manifest',
      async (format) => {
        const [source, image] = [
          await readFile(`${scratch}/disk.${format}.${ending}`),
          await readFile(`${scratch}/disk.${format}`),
        ]
        const proof = { checksum: sha256(source), finalChecksum: `sha256:${sha256(image)}` }
        const { state, message, targetPath } = await download(`disk.${format}.${ending}`, proof)
        expect([state, message]).toEqual(['completed', ''])
        expect(targetPath).toBe(`${target()}/disk.${format}`)
        expect(sha256(await readFile(targetPath))).toBe(sha256(image))
        expect((await stat(targetPath)).blocks * 512).toBeLessThan(4 * MIB)
        expect(await kept()).toEqual([`.disk.${format}.lqx.json`, `disk.${format}`])
        expect(await readManifest(targetPath)).toMatchObject({
          format,
          virtualSizeBytes: disk.length,
          digests: { sha256: sha256(image) },
          source: { digests: { sha256: sha256(source) }, sizeBytes: source.length },
          checksumGiven: true,
        })
        expect(await download(`disk.${format}.${ending}`, proof)).toMatchObject({ result: { reused: true } })
      },
    )
  })

  it.each([
    ['appliance.ova', 'appliance.qcow2', 'qcow2'],
    ['mf-last.ova', 'mf-last.qcow2', 'qcow2'],
    ['gz-disk.ova', 'gz-disk.qcow2', 'qcow2'],
    ['gce.tar.gz', 'gce.img', 'raw'],
    ['one.tar.xz', 'one.img', 'qcow2'],
    ['stored.zip', 'stored.img', 'qcow2'],
    ['deflated.zip', 'deflated.img', 'raw'],
    ['disk.vmdk', 'disk.qcow2', 'qcow2'],
    ['disk.vhdx', 'disk.qcow2', 'qcow2'],
    ['disk.vpc', 'disk.vpc', 'qcow2'],
    ['disk.vdi', 'disk.qcow2', 'qcow2'],
  ])('takes the disk of %s as %s', async (file, name, format) => {
    const { state, message, targetPath } = await download(file)
    expect([state, message, path.basename(targetPath)]).toEqual(['completed', '', name])
    expect(await content(targetPath, format)).toBe(sha256(disk))
    expect((await readManifest(targetPath))?.source?.digests.sha256).toBe(sha256(await readFile(`${scratch}/${file}`)))
    expect((await stat(targetPath)).blocks * 512).toBeLessThan(6 * MIB)
    expect(await kept()).toEqual([`.${name}.lqx.json`, name])
  })

  it('compresses and converts when asked to', async () => {
    const zeros = await download('disk.raw.xz', { compress: true, filename: 'small.qcow2' })
    expect(zeros).toMatchObject({ state: 'completed', result: { format: 'qcow2', virtualSizeBytes: disk.length } })
    expect(await content(zeros.targetPath, 'qcow2')).toBe(sha256(disk))
    const raw = await download('disk.qcow2', { format: 'raw', filename: 'plain.raw' })
    expect(raw).toMatchObject({ state: 'completed', result: { format: 'raw' } })
    expect(sha256(await readFile(raw.targetPath))).toBe(sha256(disk))
    expect((await stat(raw.targetPath)).blocks * 512).toBeLessThan(4 * MIB)
  })

  it.each([
    ['cut.raw.gz', 'WRAPPER_DAMAGED'],
    ['cut.raw.xz', 'WRAPPER_DAMAGED'],
    ['cut.qcow2.zst', 'WRAPPER_DAMAGED'],
    ['cut.raw.bz2', 'WRAPPER_DAMAGED'],
    ['cut.ova', 'WRAPPER_DAMAGED'],
    ['other-disk.ova', 'CHECKSUM_MISMATCH'],
    ['other-ovf.ova', 'CHECKSUM_MISMATCH'],
    ['no-disk.ova', 'WRAPPER_DAMAGED'],
    ['more-files.ova', 'WRAPPER_DAMAGED'],
    ['cut.zip', 'WRAPPER_DAMAGED'],
    ['links.tar', 'WRAPPER_AMBIGUOUS'],
    ['two.zip', 'WRAPPER_AMBIGUOUS'],
    ['none.zip', 'WRAPPER_AMBIGUOUS'],
    ['nested.gz', 'WRAPPER_TOO_LARGE'],
    ['page.gz', 'IMAGE_NOT_AN_IMAGE'],
    ['text.gz', 'IMAGE_NOT_AN_IMAGE'],
  ])('refuses %s with %s and keeps nothing', async (file, reason) => {
    expect(await download(file)).toMatchObject({ state: 'failed', reason })
    expect(await kept()).toEqual([])
  })

  it('holds the digest of the image inside, whatever the one of the source says', async () => {
    const checksum = sha256(await readFile(`${scratch}/disk.raw.xz`))
    const wrong = await download('disk.raw.xz', { checksum, finalChecksum: checksum })
    expect(wrong).toMatchObject({ state: 'failed', reason: 'CHECKSUM_MISMATCH' })
    expect(await kept()).toEqual([])
  })

  it('ends a bomb', async () => {
    // Zeros in zeros: 4 GiB in a few kilobytes.
    const zeros = gzipSync(Buffer.alloc(64 * MIB), { level: 9 })
    await writeFile(`${dir}/bomb`, gzipSync(Buffer.concat(Array.from({ length: 64 }, () => zeros)), { level: 9 }))
    const [from, to] = [`${dir}/bomb`, `${dir}/out`]
    const progress: number[] = []
    const request = {
      from,
      to,
      algorithms: [],
      signal,
      onProgress: ({ read }: { read: number }) => progress.push(read),
    }
    const bounds = { alwaysAllowedBytes: 128 * MIB, ratio: 1000 }
    await expect(unwrapFile(request, bounds)).rejects.toMatchObject({ reason: 'WRAPPER_TOO_LARGE' })
    const { size, blocks } = await stat(to)
    // The trial of O_DIRECT is one block.
    expect(blocks).toBeLessThanOrEqual(8)
    expect(size).toBeLessThan(256 * MIB)
  })
})
