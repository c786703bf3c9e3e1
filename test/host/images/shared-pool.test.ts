import { createHash } from 'node:crypto'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { startAgent, type AgentProcess } from '../../support/agent-process.ts'
import { until } from '../../support/until.ts'
import { rawDisk } from '../../unit/images/image-server.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'

const missing = await requirePrerequisite('qemu-img', missingCommand('qemu-img'))

interface JobBody {
  readonly state: string
  readonly phase: string
  readonly bytesDone: number
  readonly error: { reason: string; message: string } | null
  readonly details: { reused?: boolean }
}

// Two agents with one directory as a pool of both: what two hosts on one NFS server are to each other.
describe.skipIf(missing !== undefined)('two hosts on one pool', () => {
  const image = rawDisk(8 * 1024 * 1024)
  const digest = createHash('sha256').update(image).digest('hex')
  const poolId = 'shared'
  let directory: string
  let agents: AgentProcess[]
  let server: Server
  let url: string
  /** While true only half of an image is sent. */
  let hold: boolean
  let gets: number
  /** The first byte that each request asked for. */
  let asked: number[]
  const held = new Set<() => void>()

  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'lqx-shared-'))
    await chmod(directory, 0o711)
    hold = false
    gets = 0
    asked = []
    server = createServer((request, response: ServerResponse) => {
      gets++
      const from = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
      asked.push(from)
      const rest = image.subarray(from)
      const headers = { etag: '"1"', 'content-length': rest.length, 'accept-ranges': 'bytes' }
      if (from > 0) {
        response.writeHead(206, { ...headers, 'content-range': `bytes ${from}-${image.length - 1}/${image.length}` })
      } else response.writeHead(200, headers)
      if (!hold) {
        response.end(rest)
        return
      }
      const half = Math.floor(rest.length / 2)
      response.write(rest.subarray(0, half))
      held.add(() => response.end(rest.subarray(half)))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/disk.raw`
    agents = [await start('a'), await start('b')]
  })
  afterEach(async () => {
    await Promise.all(agents.map((agent) => agent.stop()))
    server.closeAllConnections()
    server.close()
    held.clear()
    await rm(directory, { recursive: true, force: true })
  })

  async function start(name: string, maxConcurrent = 4): Promise<AgentProcess> {
    const agent = await startAgent({
      directory: path.join(directory, name),
      config: {
        hypervisor: { libvirt_uri: 'qemu+unix:///system?socket=/nowhere/libvirt-sock' },
        downloads: { allow_private_addresses: true, stall_timeout_secs: 60, max_concurrent: maxConcurrent },
        // A busy disk can keep a sign of life waiting for seconds.
        images: { lease_timeout_secs: 10 },
      },
    })
    const body = JSON.stringify({ poolId, type: 'LOCAL_DIR', path: path.join(directory, 'pool') })
    const headers = { 'content-type': 'application/json' }
    const made = await fetch(`${agent.httpUrl}/api/v1/storage/pools`, { method: 'POST', headers, body })
    expect(made.status, await made.text()).toBe(200)
    return agent
  }
  const target = () => path.join(directory, 'pool', 'cloud-images')
  const release = () => {
    hold = false
    for (const go of held) go()
    held.clear()
  }
  const download = async (agent: AgentProcess, filename = 'disk.raw') => {
    const response = await fetch(`${agent.httpUrl}/api/v1/images/download`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        imageId: randomUUID(),
        url,
        targetDir: target(),
        poolId,
        filename,
        checksum: digest,
      }),
    })
    expect(response.status).toBe(200)
    return ((await response.json()) as { jobId: string }).jobId
  }
  const job = async (agent: AgentProcess, jobId: string) =>
    (await (await fetch(`${agent.httpUrl}/api/v1/jobs/${jobId}`)).json()) as JobBody
  const ended = (agent: AgentProcess, jobId: string) =>
    until(async () => {
      const now = await job(agent, jobId)
      return ['completed', 'failed', 'cancelled'].includes(now.state) ? now : undefined
    })
  // Half of the image.
  const isJournalled = async () => {
    const name = (await readdir(target())).find((each) => each.endsWith('-journal.lqxtmp'))
    return name !== undefined && (await readFile(path.join(target(), name), 'utf8')).includes('"durable":4194304')
  }
  const isRight = async () => {
    const bytes = await readFile(path.join(target(), 'disk.raw'))
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(digest)
    expect((await readdir(target())).sort()).toEqual(['.disk.raw.lqx.json', 'disk.raw'])
  }
  const [first, second] = [() => agents[0] as AgentProcess, () => agents[1] as AgentProcess]

  it('fetch an image once: the other follows, with the progress of the first', async () => {
    hold = true
    const one = await download(first())
    await until(async () => (await job(first(), one)).bytesDone > 0)
    const two = await download(second())
    const following = await until(async () => {
      const now = await job(second(), two)
      return now.bytesDone > 0 ? now : undefined
    })
    expect(following).toMatchObject({ state: 'running', phase: 'downloading' })
    // Longer than a silent host would be believed to live.
    await pause(13_000)
    expect(gets).toBe(1)
    release()
    expect(await ended(first(), one)).toMatchObject({ state: 'completed', details: { reused: false } })
    expect(await ended(second(), two)).toMatchObject({ state: 'completed', details: { reused: true } })
    expect(gets).toBe(1)
    await isRight()
  })

  it('do not wait for each other with a transfer slot in the hand', async () => {
    await second().stop()
    agents[1] = await start('b', 1)
    hold = true
    const one = await download(first())
    await until(async () => (await job(first(), one)).bytesDone > 0)
    const two = await download(second())
    await until(async () => (await job(second(), two)).bytesDone > 0)
    hold = false
    const other = await download(second(), 'other.raw')
    expect(await ended(second(), other)).toMatchObject({ state: 'completed' })
    expect((await job(second(), two)).state).toBe('running')
    release()
    expect(await ended(second(), two)).toMatchObject({ state: 'completed', details: { reused: true } })
    expect(await ended(first(), one)).toMatchObject({ state: 'completed' })
  })

  it('lose nothing when the one that downloads is killed: the other takes over and finishes', async () => {
    hold = true
    const one = await download(first())
    await until(async () => (await job(first(), one)).bytesDone > 0)
    await until(isJournalled)
    const two = await download(second())
    await until(async () => (await job(second(), two)).bytesDone > 0)
    first().kill('SIGKILL')
    await first().exited
    hold = false
    expect(await ended(second(), two)).toMatchObject({ state: 'completed', error: null })
    // What was durable there is not fetched again.
    expect(asked).toEqual([0, 4 * 1024 * 1024])
    // What the dead one had received is gone, too.
    await isRight()
    // It comes back, finds the image, and leaves nothing behind.
    agents[0] = await start('a')
    expect(await ended(first(), one)).toMatchObject({ state: 'completed' })
    expect(gets).toBe(2)
    await isRight()
  })

  it('do not both publish when the first only slept', async () => {
    hold = true
    const one = await download(first())
    await until(async () => (await job(first(), one)).bytesDone > 0)
    const two = await download(second())
    await until(async () => (await job(second(), two)).bytesDone > 0)
    first().kill('SIGSTOP')
    hold = false
    expect(await ended(second(), two)).toMatchObject({ state: 'completed', details: { reused: false } })
    // Its bytes arrive now, and it wakes up.
    release()
    first().kill('SIGCONT')
    expect(await ended(first(), one)).toMatchObject({ state: 'completed', details: { reused: true } })
    await isRight()
  })

  it('go on by themselves when the first gives up', async () => {
    hold = true
    const one = await download(first())
    await until(async () => (await job(first(), one)).bytesDone > 0)
    const two = await download(second())
    await until(async () => (await job(second(), two)).bytesDone > 0)
    hold = false
    const cancelled = await fetch(`${first().httpUrl}/api/v1/jobs/${one}/cancel`, { method: 'POST' })
    expect(cancelled.status).toBe(200)
    expect(await ended(second(), two)).toMatchObject({ state: 'completed', details: { reused: false } })
    await isRight()
  })
})
