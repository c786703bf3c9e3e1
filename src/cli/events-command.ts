import type { AgentClient } from './agent-client.ts'
import type { CommandLine } from './command-line.ts'

interface EventAnswer {
  readonly eventId: string
  readonly timestamp: string
  readonly level: string
  readonly type: string
  readonly message: string
}

/** `events [list|follow]`: what happened on this host, and what happens from now on. */
export async function eventsCommand(line: CommandLine, agent: AgentClient): Promise<number> {
  const action = line.argument('list')
  const query = line.query('vm', 'level', 'type', ...(action === 'list' ? ['limit'] : []))
  line.end()
  switch (action) {
    case 'list': {
      const answer = (await agent.call('GET', `/api/v1/events${query}`)) as { events: EventAnswer[] }
      line.print(answer, () => answer.events.map(eventLine).join(''))
      return 0
    }
    case 'follow': {
      for await (const event of agent.events(`/api/v1/events/stream${query}`))
        line.print(event, () => eventLine(event as EventAnswer))
      return 0
    }
    default:
      return line.unknown(action)
  }
}

// A guest's own words may be in a message: they must do no harm to a terminal.
function eventLine({ eventId, timestamp, level, type, message }: EventAnswer): string {
  return `${timestamp} ${eventId.padStart(6)} ${level.padEnd(7)} ${type.padEnd(20)} ${message}\n`.replace(
    /(?!\n$)\p{Cc}/gu,
    '?',
  )
}
