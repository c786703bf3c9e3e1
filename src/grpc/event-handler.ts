import type { Metadata } from '@grpc/grpc-js'
import { EVENT_KINDS, type NodeEvent } from '../core/events.ts'
import type { Services } from '../services/contracts.ts'
import { serverStream, type CallEnvironment } from './call.ts'
import { EventType } from './gen/limiquantix/node/v1/EventType.ts'
import type { NodeDaemonServiceHandlers } from './gen/limiquantix/node/v1/NodeDaemonService.ts'
import type { NodeEvent as NodeEventMessage } from './gen/limiquantix/node/v1/NodeEvent.ts'
import { toTimestamp } from './wire-values.ts'

/** Request metadata of StreamEvents: the id of the last event that the caller had. The contract's request has no field for it. */
export const LAST_EVENT_ID = 'last-event-id'

/** StreamEvents: events from now on, or, for a caller that names the last one it had, those after it. */
export function eventHandler({ events }: Services, env: CallEnvironment) {
  return {
    StreamEvents: serverStream(
      env,
      { name: 'StreamEvents', changes: false },
      async function* (_request: unknown, signal, metadata) {
        for await (const event of events.read(signal, lastEventId(metadata))) yield toEventMessage(event)
      },
    ),
  } satisfies Partial<NodeDaemonServiceHandlers>
}

function lastEventId(metadata: Metadata): number | undefined {
  const [given] = metadata.get(LAST_EVENT_ID)
  return typeof given === 'string' && /^\d{1,15}$/.test(given) ? Number(given) : undefined
}

/** An event as StreamEvents sends it. Kinds that the contract has no number for are UNKNOWN there; `event` of the metadata names every kind. */
export function toEventMessage({ id, timestamp, type, vmId, message, metadata }: NodeEvent): NodeEventMessage {
  const name = `EVENT_TYPE_${type}`
  const { level, category } = EVENT_KINDS[type]
  return {
    id,
    timestamp: toTimestamp(timestamp),
    type: Object.hasOwn(EventType, name) ? EventType[name as keyof typeof EventType] : EventType.EVENT_TYPE_UNKNOWN,
    vmId,
    message,
    metadata: { ...metadata, event: type, level, category },
  }
}
