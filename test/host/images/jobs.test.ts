import { randomUUID } from 'node:crypto'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { startAgent, type AgentProcess } from '../../support/agent-process.ts'
import { until } from '../../support/until.ts'
import { rawDisk, startImageServer, type ImageServer } from '../../unit/images/image-server.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'

const missing = await requirePrerequisite('qemu-img', missingCommand('qemu-img'))

interface JobBody {
  readonly jobId: string
  readonly state: string
  readonly phase: string
  readonly progressPercent: number
  readonly retryOf: string | null
  readonly canRetry: boolean
  readonly error: { reason: string } | null
  readonly details: Record<string, unknown>
  readonly resources: string[]
}

describe.skipIf(missing !== undefined)('jobs of a real agent', () => {
  const image = rawDisk(4 * 1024 * 1024)
  let directory: string
  let server: ImageServer
  let agent: AgentProcess

  const start = async () => {
    const config = {
      hypervisor: { libvirt_uri: 'qemu+unix:///system?socket=/nowhere/libvirt-sock' },
      downloads: { allow_private_addresses: true, stall_timeout_secs: 20 },
    }
    agent = await startAgent({ directory, config })
  }
  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'lqx-jobs-'))
    await chmod(directory, 0o711)
    server = await startImageServer(image)
    await start()
  })
  afterEach(async () => {
    await agent.stop()
    await server[Symbol.asyncDispose]()
    await rm(directory, { recursive: true, force: true })
  })

  const ask = async <T>(method: string, url: string, body?: object): Promise<T> => {
    const response = await fetch(`${agent.httpUrl}${url}`, {
      method,
      signal: AbortSignal.timeout(60_000),
      ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    })
    expect(response.status, url).toBe(200)
    return (await response.json()) as T
  }
  const download = (route: string, fileName: string) =>
    ask<{ jobId: string }>('POST', '/api/v1/images/download', {
      imageId: randomUUID(),
      url: `${server.origin}${route}`,
      targetDir: `${agent.stateDir}/cloud-images`,
      filename: fileName,
    })
  const job = (jobId: string) => ask<JobBody>('GET', `/api/v1/jobs/${jobId}`)
  const ended = (jobId: string) =>
    until(async () => {
      const now = await job(jobId)
      return ['completed', 'failed', 'cancelled'].includes(now.state) ? now : undefined
    })
  const events = async (jobId: string, lastEventId?: string) =>
    fetch(`${agent.httpUrl}/api/v1/jobs/${jobId}/events`, {
      headers: lastEventId === undefined ? {} : { 'last-event-id': lastEventId },
      signal: AbortSignal.timeout(60_000),
    })

  it('tells how a download goes on until its end', async () => {
    const { jobId } = await download('/paused', 'disk.raw')
    const response = await events(jobId)
    expect(response.headers.get('content-type')).toBe('text/event-stream')
    const seen: JobBody[] = []
    let text = ''
    for await (const chunk of response.body ?? []) {
      text += Buffer.from(chunk as Uint8Array).toString()
      const blocks = text.split('\n\n')
      text = blocks.pop() ?? ''
      for (const block of blocks) {
        const data = /^data: (.*)$/m.exec(block)?.[1]
        if (data !== undefined) seen.push(JSON.parse(data) as JobBody)
      }
      if (seen.some(({ progressPercent }) => progressPercent > 0)) server.release()
    }
    // On a slow machine it is told of before its first byte can come.
    const moving = seen.find(({ phase }) => phase !== '')
    expect(moving).toMatchObject({ jobId, kind: 'image.download', state: 'running', phase: 'downloading' })
    expect(seen.at(-1)).toMatchObject({ state: 'completed', progressPercent: 100, error: null })
    expect(seen.at(-1)?.details).toMatchObject({ sizeBytes: image.length, format: 'raw', reused: false })
    expect((await events(jobId, 'end')).status).toBe(204)
    const again = await (await events(jobId, 'something-old')).text()
    expect(again).toContain('event: end')
  })

  it('remembers what ended, with its log, after SIGKILL; and tries again what failed', async () => {
    const { jobId } = await download('/404', 'later.raw')
    expect(await ended(jobId)).toMatchObject({ state: 'failed', canRetry: true })
    const logOf = () => ask<{ lines: { message: string }[] }>('GET', `/api/v1/jobs/${jobId}/log`)
    const before = (await logOf()).lines.map(({ message }) => message)
    expect(before).toEqual(expect.arrayContaining(['running', 'failed']))
    // Lines are on disk a second after they were written.
    await until(async () => (await logOnDisk(jobId)).includes('"failed"'))
    agent.kill('SIGKILL')
    await agent.exited
    await start()
    expect(await job(jobId)).toMatchObject({ state: 'failed', error: { reason: 'download_http_status' } })
    expect((await logOf()).lines.map(({ message }) => message)).toEqual(before)
    const retried = await ask<JobBody>('POST', `/api/v1/jobs/${jobId}/retry`)
    expect(retried).toMatchObject({ retryOf: jobId, kind: 'image.download' })
    expect(retried.jobId).not.toBe(jobId)
    await ended(retried.jobId)
    expect(server.requests.filter((path) => path === '/404').length).toBeGreaterThanOrEqual(2)
    const { jobs, total } = await ask<{ jobs: JobBody[]; total: number }>(
      'GET',
      `/api/v1/jobs?kind=image.download&resource=${encodeURIComponent(`${agent.stateDir}/cloud-images/later.raw`)}`,
    )
    expect(total).toBe(2)
    expect(jobs.map((each) => each.jobId)).toEqual([retried.jobId, jobId])
  })

  it('cancels one when it is told to, and says so in the contract as failed', async () => {
    const { jobId } = await download('/paused', 'never.raw')
    expect(await ask<JobBody>('POST', `/api/v1/jobs/${jobId}/cancel`)).toMatchObject({ state: 'cancelled' })
    expect(await ask('GET', `/api/v1/images/download/${jobId}`)).toMatchObject({ status: 'failed' })
    expect((await ask<{ jobs: JobBody[] }>('GET', '/api/v1/jobs?state=cancelled')).jobs).toHaveLength(1)
    expect((await ask<{ jobs: JobBody[] }>('GET', '/api/v1/jobs?state=running&kind=image.download')).jobs).toEqual([])
  })

  async function logOnDisk(jobId: string): Promise<string> {
    return readFile(path.join(agent.stateDir, 'store', 'operation-logs', `${jobId}.json`), 'utf8').catch(() => '')
  }
})
