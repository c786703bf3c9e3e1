import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { toAgentError } from '../core/errors.ts'
import { connectCode, createConnectClient, type ClientTls } from '../platform/connect-client.ts'

const GET_POOL = 'limiquantix.storage.v1.StoragePoolService/GetPool'
const TIMEOUT_MS = 10_000

/** Whether a control plane answers at `baseUrl`: it is asked for a pool that nobody has, which changes nothing. CONFIG_INVALID for what is not a plain http(s) URL. */
export async function testConnection(
  baseUrl: string,
  userAgent: string,
  signal: AbortSignal,
  tls?: ClientTls,
): Promise<{ success: boolean; message: string }> {
  const client = createConnectClient({ baseUrl, userAgent, ...(tls === undefined ? {} : { tls }) })
  try {
    await client.call(GET_POOL, { id: randomUUID() }, z.unknown(), { signal, timeoutMs: TIMEOUT_MS })
  } catch (error) {
    signal.throwIfAborted()
    if (connectCode(error) !== 'not_found') return { success: false, message: toAgentError(error).message }
  } finally {
    await client.close()
  }
  return { success: true, message: `a control plane answers at ${client.baseUrl}` }
}
