import type { FetchOptions } from '../platform/http-fetch.ts'
import { authorizationOf, type CredentialBook } from './credentials.ts'
import type { DownloadParams, DownloadSettings } from './download-plan.ts'

/** How everything of one job is fetched, the image and its sums. Plain data for the worker; it has the credentials. */
export type FetchRules = Omit<FetchOptions, 'allowDowngrade' | 'range' | 'signal' | 'resolve'>

/** Deadline for one connection. */
export const CONNECT_TIMEOUT_MS = 15_000

/** The rules of a job, from the configuration and the request. */
export async function fetchRules(
  params: DownloadParams,
  settings: DownloadSettings,
  book: CredentialBook | undefined,
): Promise<FetchRules> {
  const { allowPrivateAddresses, rewrites = [], network = {}, stallTimeoutMs } = settings
  const { credentialsKey, url } = params
  const credentials = credentialsKey === undefined ? undefined : await book?.find(credentialsKey)
  return {
    allowPrivateAddresses,
    rewrites,
    network,
    connectTimeoutMs: Math.min(CONNECT_TIMEOUT_MS, stallTimeoutMs),
    headersTimeoutMs: stallTimeoutMs,
    ...(credentials === undefined
      ? {}
      : { authorization: { origin: URL.parse(url)?.origin ?? '', value: authorizationOf(credentials) } }),
  }
}
