import { mkdtemp, readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { startAgent, type AgentProcess } from '../../support/agent-process.ts'
import { everyMoment } from '../moments.ts'
import { fileSha256 } from './file-digest.ts'
import { madeContent, startOrigin } from './origin.ts'

const SIZE = 1024 * 1024 * 1024
const KILLS = everyMoment ? 50 : 16
const LIMIT_MS = 10 * 60_000
/** As fast as one kill after another still lets it move on. */
const BYTES_PER_SECOND = 60 * 1024 * 1024

let directory: string

beforeEach(async () => {
  // A real disk, not a tmpfs.
  directory = await mkdtemp('/var/tmp/lqx-killed-')
})
afterEach(() => rm(directory, { recursive: true, force: true }))

const serve = () =>
  startAgent({
    directory,
    config: {
      hypervisor: { libvirt_uri: 'qemu+unix:///system?socket=/nowhere/libvirt-sock' },
      downloads: { allow_private_addresses: true },
    },
  })
const json = async <T>(url: string, init: RequestInit = {}): Promise<T> => {
  const answer = await fetch(url, { ...init, signal: AbortSignal.timeout(10_000) })
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}: ${await answer.text()}`)
  return (await answer.json()) as T
}
const post = (url: string, body: object) =>
  json<{ jobId: string }>(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })

describe('a download of 1 GiB', () => {
  it(
    `ends under the same job with the right bytes after ${KILLS} kills of the agent at random moments, and fetches at most 2 % again for each`,
    async () => {
      const content = madeContent(SIZE)
      await using origin = await startOrigin(content)
      origin.answer({ bytesPerSecond: BYTES_PER_SECOND })
      const seed = Number(process.env['LQX_SEED'] ?? Date.now() % 1_000_000)
      const random = generator(seed)
      process.stdout.write(`killed-downloads: LQX_SEED=${seed}\n`)
      let agent = await serve()
      const target = path.join(agent.stateDir, 'cloud-images')
      const { jobId } = await post(`${agent.httpUrl}/api/v1/images/download`, {
        imageId: 'i',
        url: origin.url,
        targetDir: target,
        checksum: `sha256:${content.sha256}`,
      })
      for (let kill = 0; kill < KILLS; kill++) {
        // The agent needs as long to begin again; some kills come before it does.
        await pause(random() * 1200)
        agent.kill('SIGKILL')
        await agent.exited
        agent = await serve()
      }
      const job = await ended(agent, jobId)
      const served = origin.bytesServed()
      process.stdout.write(
        `killed-downloads: ${KILLS} kills, ${origin.asked.length} requests, ${(served / SIZE).toFixed(3)} times the size was served\n`,
      )
      await agent.stop()
      expect(job).toMatchObject({ jobId, status: 'completed', bytesDownloaded: SIZE })
      expect(await fileSha256(`${target}/disk.img`)).toBe(content.sha256)
      expect((await readdir(target)).sort()).toEqual(['.disk.img.lqx.json', 'disk.img'])
      expect(served).toBeLessThanOrEqual(SIZE * (1 + 0.02 * KILLS))
    },
    LIMIT_MS,
  )
})

interface Job {
  readonly jobId: string
  readonly status: string
  readonly bytesDownloaded: number
}

async function ended(agent: AgentProcess, jobId: string): Promise<Job> {
  for (;;) {
    const job = await json<Job>(`${agent.httpUrl}/api/v1/images/download/${jobId}`)
    if (job.status === 'completed' || job.status === 'failed') return job
    await pause(100)
  }
}

// mulberry32.
function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
