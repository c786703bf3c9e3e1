import { request } from 'node:http'

/** Asks our own HTTP API over its unix socket for /healthz; rejects when it does not answer 200 within `timeoutMs`. */
export function selfCheck(socketPath: string, timeoutMs: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const call = request({ socketPath, path: '/healthz', signal: AbortSignal.timeout(timeoutMs) }, (answer) => {
    answer.resume()
    if (answer.statusCode === 200) resolve()
    else reject(new Error(`/healthz answered ${answer.statusCode}`))
  })
  call.once('error', reject)
  call.end()
  return promise
}
