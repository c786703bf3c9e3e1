import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { startAgent, type AgentProcess } from '../../support/agent-process.ts'
import { until } from '../../support/until.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'
import { fileSha256 } from './file-digest.ts'
import { madeContent, startOrigin, type Answer, type Answerer, type Content, type Origin } from './origin.ts'
import { startTestAgent, type TestAgent } from './test-agent.ts'

const missing = await requirePrerequisite('qemu-img and gzip', missingCommand('qemu-img', 'gzip'))
const run = promisify(execFile)
const MIB = 1024 * 1024
const signal = new AbortController().signal
const disk = madeContent(48 * MIB)
const otherDisk = madeContent(48 * MIB, 2)
const applianceDisk = madeContent(8 * MIB)
const packed = pack(disk)
const otherPacked = pack(otherDisk)
/** So that a download takes a while on any machine. */
const SLOWLY = 8 * MIB
/** So that it is not through before the test does something to it. */
const neverAll = (bytes: number): Answer => ({ bytesPerSecond: SLOWLY, stopAt: { bytes, by: 'silence' } })

// Level 0: as large as what is inside, so that it takes as long to receive.
function pack(content: Content): Content {
  return contentOf(gzipSync(content.read(0, content.bytes), { level: 0 }))
}

function contentOf(bytes: Buffer): Content {
  return {
    bytes: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    read: (from, to) => bytes.subarray(from, to),
  }
}

/** An appliance whose manifest says that its disk has the SHA-256 `digest`; much follows its end, so that what is wrong with it shows while it is received. */
async function appliance(directory: string, digest: string): Promise<Content> {
  await writeFile(`${directory}/a.ovf`, '<?xml version="1.0"?><Envelope/>\n')
  await writeFile(`${directory}/a.mf`, `SHA256(disk.img)= ${digest}\n`)
  await writeFile(`${directory}/disk.img`, applianceDisk.read(0, applianceDisk.bytes))
  await run('tar', ['--format=ustar', '-cf', 'a.ova', 'a.ovf', 'a.mf', 'disk.img'], { cwd: directory })
  return contentOf(Buffer.concat([await readFile(`${directory}/a.ova`), Buffer.alloc(24 * MIB)]))
}

describe.skipIf(missing !== undefined)('a compressed image', () => {
  let directory: string
  let agent: TestAgent
  let origin: Origin

  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'lqx-early-'))
    agent = await startTestAgent(directory, { settings: { patienceMs: 12_000 } })
    origin = await startOrigin(packed)
  })
  afterEach(async () => {
    await agent.operations.shutdown(0)
    await origin[Symbol.asyncDispose]()
    await rm(directory, { recursive: true, force: true })
  })

  const start = async (
    change: { url?: string; mirrors?: string[]; checksum?: string; finalChecksum?: string } = {},
  ) => {
    const request = {
      imageId: 'image-1',
      catalogId: '',
      url: `${origin.origin}/disk.img.gz`,
      targetDir: `${directory}/pool`,
      filename: '',
      poolId: 'pool-1',
      checksum: '',
      checksumType: '',
      ...change,
    }
    return (await agent.images.download(request, signal)).jobId
  }
  /** Bytes on disk of the image that is being taken out; undefined before it is begun. */
  const takenOut = async () => {
    const name = (await readdir(`${directory}/pool`)).find((each) => each.endsWith('-unwrapped.lqxtmp'))
    return name === undefined ? undefined : (await stat(`${directory}/pool/${name}`)).size
  }
  const takenOutMoreThan = (bytes: number) =>
    until(async () => ((await takenOut().catch(() => undefined)) ?? 0) > bytes)
  /** Begins a download that is so slow until more than `bytes` are taken out that it is through only long after. */
  const startUntilTakenOut = async (bytes: number, ...args: Parameters<typeof start>) => {
    const limit = (hostBytesPerSecond: number) => agent.bandwidth.setLimits({ hostBytesPerSecond, pools: {} })
    await limit(SLOWLY / 4)
    const jobId = await start(...args)
    await takenOutMoreThan(bytes)
    return { jobId, goOn: () => limit(0) }
  }
  const finished = async (jobId: string) => {
    const { state, error } = await agent.operations.wait(jobId, signal)
    return { ...agent.images.job(jobId), state, reason: error?.reason }
  }
  const leftovers = async () =>
    (await readdir(`${directory}/pool`)).filter((name) => name.startsWith('.lqx-') || name.endsWith('.lqxtmp'))
  const expectWhole = async (jobId: string, content: Content) => {
    const job = await finished(jobId)
    expect(job).toMatchObject({ state: 'completed', errorMessage: '' })
    expect(await fileSha256(job.targetPath)).toBe(content.sha256)
    expect(await leftovers()).toEqual([])
    expect(agent.workers()).toEqual([])
  }

  it('is unpacked while it arrives', async () => {
    const { jobId, goOn } = await startUntilTakenOut(8 * MIB, { checksum: packed.sha256, finalChecksum: disk.sha256 })
    expect(agent.images.job(jobId).phase).toBe('downloading')
    await goOn()
    await expectWhole(jobId, disk)
  })

  it('of which the connection breaks is unpacked on', async () => {
    origin.answer({ stopAt: { bytes: 21 * MIB + 17, by: 'reset' } }, { stopAt: { bytes: 5 * MIB, by: 'close' } }, {})
    await expectWhole(await start({ finalChecksum: disk.sha256 }), disk)
    expect(origin.asked.length).toBe(3)
  })

  it('that changes on the server is the new one, from its first byte', async () => {
    origin.answer({ stopAt: { bytes: 24 * MIB, by: 'close' } }, { content: otherPacked })
    const { jobId, goOn } = await startUntilTakenOut(4 * MIB)
    await goOn()
    await expectWhole(jobId, otherDisk)
  })

  it('whose download an agent was stopped in goes on, and is unpacked from the bytes that are there', async () => {
    origin.answer(neverAll(32 * MIB))
    const jobId = await start({ checksum: packed.sha256 })
    await takenOutMoreThan(16 * MIB)
    await agent.operations.shutdown(0)
    origin.answer({})
    agent = await startTestAgent(directory)
    await expectWhole(jobId, disk)
    expect(origin.asked.at(-1)?.range).toMatch(/^bytes=[1-9]\d+-$/)
  })

  it('with the wrong bytes leaves nothing, whatever was unpacked of them', async () => {
    const { jobId, goOn } = await startUntilTakenOut(8 * MIB, { checksum: otherPacked.sha256 })
    await goOn()
    expect(await finished(jobId)).toMatchObject({ state: 'failed', reason: 'CHECKSUM_MISMATCH' })
    expect(await leftovers()).toEqual([])
  })

  it('that belies its own manifest is left for the next mirror when a checksum tells more', async () => {
    const scratch = `${directory}/appliance`
    await mkdir(scratch)
    const wrong = await appliance(scratch, '0'.repeat(64))
    const right = await appliance(scratch, applianceDisk.sha256)
    await using mirror = await startOrigin(right)
    origin.answer({ content: wrong, bytesPerSecond: SLOWLY })
    const url = `${origin.origin}/disk.ova`
    await expectWhole(
      await start({ url, mirrors: [`${mirror.origin}/disk.ova`], checksum: right.sha256 }),
      applianceDisk,
    )
    expect(mirror.asked.length).toBe(1)
    expect(origin.bytesServed()).toBeGreaterThanOrEqual(wrong.bytes)
  })

  it('of which the download is cancelled leaves nothing', async () => {
    origin.answer(neverAll(24 * MIB))
    const jobId = await start()
    await takenOutMoreThan(8 * MIB)
    await agent.images.cancel(jobId, signal)
    expect((await finished(jobId)).state).toBe('cancelled')
    expect(await leftovers()).toEqual([])
    expect(agent.workers()).toEqual([])
  })
})

describe.skipIf(missing !== undefined)('a compressed image while the agent is killed', () => {
  it('is whole in the end, unpacked anew from the bytes that are there', async () => {
    const directory = await mkdtemp('/var/tmp/lqx-early-killed-')
    await using origin = await startOrigin(packed)
    // Each run but the last one gets so much that the size it is killed at comes, and never all.
    const upTo =
      (end: number): Answerer =>
      ({ range }) => ({
        bytesPerSecond: SLOWLY,
        stopAt: { bytes: end - Number(/\d+/.exec(range ?? '0')?.[0]), by: 'silence' },
      })
    const KILLED_AT = [8 * MIB, 20 * MIB, 32 * MIB]
    origin.answer(...KILLED_AT.map((size) => upTo(size + 12 * MIB)), { bytesPerSecond: SLOWLY })
    const serve = () =>
      startAgent({
        directory,
        config: {
          hypervisor: { libvirt_uri: 'qemu+unix:///system?socket=/nowhere/libvirt-sock' },
          downloads: { allow_private_addresses: true },
        },
      })
    let agent: AgentProcess = await serve()
    const target = path.join(agent.stateDir, 'cloud-images')
    const entries = () => readdir(target).catch(() => [] as string[])
    const sizeOf = async (ending: string) => {
      const name = (await entries()).find((each) => each.endsWith(ending))
      return name === undefined ? 0 : (await stat(path.join(target, name)).catch(() => ({ size: 0 }))).size
    }
    try {
      const begun = await fetch(`${agent.httpUrl}/api/v1/images/download`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          imageId: 'i',
          url: `${origin.origin}/disk.img.gz`,
          targetDir: target,
          checksum: packed.sha256,
          finalChecksum: disk.sha256,
        }),
      })
      const { jobId } = (await begun.json()) as { jobId: string }
      for (const size of KILLED_AT) {
        await until(async () => (await sizeOf('-unwrapped.lqxtmp')) > size)
        agent.kill('SIGKILL')
        await agent.exited
        agent = await serve()
      }
      const job = await until(async () => {
        const answer = await fetch(`${agent.httpUrl}/api/v1/images/download/${jobId}`)
        const now = (await answer.json()) as { status: string }
        return ['completed', 'failed'].includes(now.status) ? now : undefined
      })
      expect(job).toMatchObject({ status: 'completed' })
      expect(await fileSha256(path.join(target, 'disk.img'))).toBe(disk.sha256)
      expect((await entries()).sort()).toEqual(['.disk.img.lqx.json', 'disk.img'])
      const parts = origin.asked.flatMap(({ range }) => range ?? [])
      expect(parts.length).toBeGreaterThanOrEqual(3)
      // What a kill costs, and what was on the wire.
      expect(origin.bytesServed()).toBeLessThan(packed.bytes + 3 * 21 * MIB)
    } finally {
      await agent.stop()
      await rm(directory, { recursive: true, force: true })
    }
  }, 180_000)
})
