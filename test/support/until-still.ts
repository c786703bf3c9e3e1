import { setImmediate as turn } from 'node:timers/promises'

const TURNS = 200

/**
 * Waits until `read` gave the same value for 200 turns of the event loop. For what comes to a standstill between sockets and streams of this very process:
 * what can go on there goes on in the next turn, however slow the machine is.
 */
export async function untilStill(read: () => number): Promise<number> {
  let value = read()
  for (let turns = 0; turns < TURNS; turns++) {
    await turn()
    if (read() === value) continue
    value = read()
    turns = 0
  }
  return value
}
