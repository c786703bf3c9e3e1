import { randomUUID } from 'node:crypto'
import { parseId } from '../core/ids.ts'
import type { StateStore } from '../platform/state-store.ts'

interface IdentityRecord {
  readonly agentId: string
  readonly createdAt: number
}

/**
 * The agent's own id: the configured `node.id` (INVALID_NAME when it is not one), else a UUID that is made once and kept in the state directory. It is not the
 * node id that a control plane gives.
 */
export async function loadAgentId(store: StateStore, configured = ''): Promise<string> {
  if (configured !== '') return parseId(configured, 'node.id')
  const collection = store.collection<IdentityRecord>('agent')
  const known = await collection.get('identity')
  if (known !== undefined) return known.agentId
  const record: IdentityRecord = { agentId: randomUUID(), createdAt: Date.now() }
  await collection.put('identity', record)
  return record.agentId
}
