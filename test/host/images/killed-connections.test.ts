import { mkdtemp, readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { startAgent, type AgentProcess } from '../../support/agent-process.ts'
import { fileSha256 } from './file-digest.ts'
import { madeContent, startOrigin } from './origin.ts'

const MIB = 1024 * 1024
const SIZE = 320 * MIB
const CONNECTIONS = 4
/** The agent is killed when so much has arrived. */
const KILLED_AT = [80 * MIB, 160 * MIB, 240 * MIB]
/** What was not durable yet, the segments in memory, and what is on its way through the sockets. */
const COST_OF_A_KILL = 12 * MIB + CONNECTIONS * 8 * MIB + CONNECTIONS * MIB
const LIMIT_MS = 5 * 60_000

let directory: string

beforeEach(async () => {
  // A real disk, not a tmpfs.
  directory = await mkdtemp('/var/tmp/lqx-killed-connections-')
})
afterEach(() => rm(directory, { recursive: true, force: true }))

interface Job {
  readonly jobId: string
  readonly status: string
  readonly bytesDownloaded: number
}

const serve = () =>
  startAgent({
    directory,
    config: {
      hypervisor: { libvirt_uri: 'qemu+unix:///system?socket=/nowhere/libvirt-sock' },
      downloads: { allow_private_addresses: true },
    },
  })
const json = async <T>(url: string, init: RequestInit = {}): Promise<T> => {
  const answer = await fetch(url, { ...init, signal: AbortSignal.timeout(30_000) })
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}: ${await answer.text()}`)
  return (await answer.json()) as T
}
const jobOf = (agent: AgentProcess, jobId: string) => json<Job>(`${agent.httpUrl}/api/v1/images/download/${jobId}`)
const reached = (agent: AgentProcess, jobId: string, done: (job: Job) => boolean) =>
  expect.poll(async () => done(await jobOf(agent, jobId)), { timeout: LIMIT_MS / 2, interval: 100 }).toBe(true)

describe('a download over several connections', () => {
  it(
    'goes on under the same job after each kill of the agent, and fetches no more again than was in memory',
    async () => {
      const content = madeContent(SIZE)
      await using origin = await startOrigin(content)
      // Slow enough that nothing piles up in the sockets.
      origin.answer({ bytesPerSecond: 6 * MIB })
      let agent = await serve()
      const target = path.join(agent.stateDir, 'cloud-images')
      const request = {
        imageId: 'i',
        url: origin.url,
        targetDir: target,
        checksum: `sha256:${content.sha256}`,
        connections: CONNECTIONS,
      }
      const { jobId } = await json<Job>(`${agent.httpUrl}/api/v1/images/download`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(request),
      })
      for (const bytes of KILLED_AT) {
        await reached(agent, jobId, ({ bytesDownloaded }) => bytesDownloaded >= bytes)
        agent.kill('SIGKILL')
        await agent.exited
        agent = await serve()
      }
      await reached(agent, jobId, ({ status }) => status === 'completed' || status === 'failed')
      const job = await jobOf(agent, jobId)
      const again = origin.bytesServed() - SIZE
      process.stdout.write(
        `killed-connections: ${KILLED_AT.length} kills, ${(again / MIB).toFixed(1)} MiB served again\n`,
      )
      await agent.stop()
      expect(job).toMatchObject({ jobId, status: 'completed', bytesDownloaded: SIZE })
      expect(await fileSha256(`${target}/disk.img`)).toBe(content.sha256)
      expect((await readdir(target)).sort()).toEqual(['.disk.img.lqx.json', 'disk.img'])
      expect(Math.max(...origin.asked.map(({ atOnce }) => atOnce))).toBeGreaterThanOrEqual(CONNECTIONS)
      expect(again).toBeLessThanOrEqual(KILLED_AT.length * COST_OF_A_KILL)
    },
    LIMIT_MS,
  )
})
