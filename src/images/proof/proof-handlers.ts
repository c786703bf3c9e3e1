import { fetchSmall } from '../../platform/fetch-small.ts'
import type { WorkerCall, WorkerHandlers } from '../../platform/workers.ts'
import { MIB } from '../../core/bytes.ts'
import type { FetchRules } from '../fetch-rules.ts'
import type { ProofRequest } from './proof-request.ts'
import { resolveProof, type ResolvedProof } from './resolve.ts'

/** Parameters of `image.proof`. */
export interface ResolveProofParams extends FetchRules {
  readonly request: ProofRequest
  readonly keyringsDir: string
}

/** No publisher's sums come near it. */
const MAX_SUMS_BYTES = MIB

/** What of a proof touches the network: part of the transfer worker. */
export const proofHandlers: WorkerHandlers = { 'image.proof': resolve }

function resolve(params: ResolveProofParams, call: WorkerCall): Promise<ResolvedProof> {
  const { request, keyringsDir, ...policy } = params
  // Sums are the proof themselves: nothing makes up for a connection that is not encrypted any more.
  const options = { ...policy, allowDowngrade: false, signal: call.signal }
  return resolveProof(request, keyringsDir, (url) => fetchSmall(url, MAX_SUMS_BYTES, options), call.signal)
}
