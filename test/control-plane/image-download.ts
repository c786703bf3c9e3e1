import { setTimeout as sleep } from 'node:timers/promises'
import { callNode } from './node-http.ts'
import type { Traffic } from './traffic.ts'

/** The answer to a poll, as far as the control plane reads it. */
export interface DownloadPoll {
  readonly targetPath: string
  readonly status: string
  readonly progressPercent: number
  readonly bytesDownloaded: number
  readonly bytesTotal: number
  readonly errorMessage: string | null
}

export interface ImageDownload {
  readonly catalogId: string
  readonly imageId: string
  readonly url: string
  readonly targetDir: string
  readonly poolId: string
  readonly checksum: string
}

/** What the control plane's image record says in the end. */
export interface ImageRecord {
  readonly phase: 'READY' | 'ERROR'
  readonly path: string
  readonly sizeBytes: number
  readonly errorMessage: string
}

export interface DownloadOptions {
  readonly signal: AbortSignal
  /** 2 s by default, as the control plane polls. */
  readonly periodMs?: number
  readonly onPoll?: (poll: DownloadPoll) => void
  /** Gets what was said. */
  readonly traffic?: Traffic
}

const REQUEST_TIMEOUT_MS = 10_000
const POLL_PERIOD_MS = 2_000

/**
 * DownloadImage: the POST must answer exactly 200, anything else is an ERROR image at once; then polls without end until `completed` or
 * `failed`. A poll that fails, is a 404, or has a fraction where an integer belongs is ignored.
 */
export async function downloadImage(
  nodeHttp: string,
  job: ImageDownload,
  options: DownloadOptions,
): Promise<ImageRecord> {
  const { signal, periodMs = POLL_PERIOD_MS } = options
  const withTimeout = () => AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)])
  const post = [nodeHttp, 'POST', '/api/v1/images/download', job] as const
  const accepted = await callNode(...post, withTimeout(), options.traffic)
  if (accepted.status !== 200) {
    const text = typeof accepted.body === 'string' ? accepted.body : JSON.stringify(accepted.body)
    return { phase: 'ERROR', path: '', sizeBytes: 0, errorMessage: `node daemon error (${accepted.status}): ${text}` }
  }
  const { jobId } = accepted.body as { jobId: string }
  for (;;) {
    await sleep(periodMs, undefined, { signal })
    const poll = await pollJob(nodeHttp, jobId, withTimeout(), options.traffic)
    signal.throwIfAborted()
    if (poll === undefined) continue
    options.onPoll?.(poll)
    const { targetPath, bytesDownloaded, errorMessage } = poll
    if (poll.status === 'completed')
      return { phase: 'READY', path: targetPath, sizeBytes: bytesDownloaded, errorMessage: '' }
    if (poll.status === 'failed')
      return { phase: 'ERROR', path: '', sizeBytes: 0, errorMessage: errorMessage || 'download failed' }
  }
}

async function pollJob(
  nodeHttp: string,
  jobId: string,
  signal: AbortSignal,
  traffic: Traffic | undefined,
): Promise<DownloadPoll | undefined> {
  try {
    const { status, body } = await callNode(
      nodeHttp,
      'GET',
      `/api/v1/images/download/${jobId}`,
      undefined,
      signal,
      traffic,
    )
    const poll = body as DownloadPoll
    const integers = [poll.progressPercent, poll.bytesDownloaded, poll.bytesTotal]
    return status === 200 && integers.every(Number.isSafeInteger) ? poll : undefined
  } catch {
    return undefined
  }
}
