import type { SendQueue } from './send-queue.ts'
import {
  KEEPALIVE_PROC_PING,
  KEEPALIVE_PROC_PONG,
  KEEPALIVE_PROGRAM,
  KEEPALIVE_PROTOCOL_VERSION,
  VIR_NET_MESSAGE,
  VIR_NET_OK,
} from './wire/constants.gen.ts'

/** Our half of libvirt's keepalive: a ping for every interval without a byte from the daemon, and the end after `count` silent ones. */
export class Keepalive {
  readonly #out: SendQueue
  readonly #timer: NodeJS.Timeout
  #heard = true
  #silent = 0

  constructor(out: SendQueue, intervalMs: number, count: number, onDead: () => void) {
    this.#out = out
    // Ticks are counted, not clock time: after a stall of our own event loop the daemon still gets its chances.
    this.#timer = setInterval(() => {
      if (this.#heard) this.#silent = 0
      this.#heard = false
      if (this.#silent >= count) onDead()
      else {
        this.#silent++
        sendKeepalive(this.#out, KEEPALIVE_PROC_PING)
      }
    }, intervalMs)
    this.#timer.unref()
  }

  /** Any byte from the daemon shows that it lives. */
  heard(): void {
    this.#heard = true
  }

  stop(): void {
    clearInterval(this.#timer)
  }
}

/** Answers a ping of the daemon; its pongs need nothing, being heard is enough. */
export function answerKeepalive(procedure: number, out: SendQueue): void {
  if (procedure === KEEPALIVE_PROC_PING) sendKeepalive(out, KEEPALIVE_PROC_PONG)
}

function sendKeepalive(out: SendQueue, procedure: number): void {
  out.push({
    program: KEEPALIVE_PROGRAM,
    version: KEEPALIVE_PROTOCOL_VERSION,
    procedure,
    type: VIR_NET_MESSAGE,
    serial: 0,
    status: VIR_NET_OK,
  })
}
