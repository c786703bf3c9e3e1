import type { EventLog } from '../events/event-log.ts'
import type { EventService } from './contracts.ts'

/** EventService over the log of events. */
export function createEventService(events: EventLog): EventService {
  return {
    list: (filter, limit, after) => events.list(filter, limit, after),
    read: (signal, after) => events.read(signal, after),
  }
}
