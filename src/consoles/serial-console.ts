import { Duplex } from 'node:stream'
import { AgentError } from '../core/errors.ts'
import { domainRef } from '../domains/libvirt-domain.ts'
import { vmError } from '../domains/libvirt-errors.ts'
import type { LibvirtClient } from '../libvirt/client.ts'
import { VIR_DOMAIN_CONSOLE, VIR_ERR } from '../libvirt/constants.ts'
import { isLibvirtError } from '../libvirt/errors.ts'
import { isHole, type LibvirtStream } from '../libvirt/stream.ts'

/** What opens streams of libvirt. */
export type LibvirtStreams = Pick<LibvirtClient, 'openStream'>

/**
 * The serial console of a running VM as a stream. libvirt gives it to one at a time: with `force` it is taken from whoever has it, whose stream then has no more data. Errors: CONSOLE_BUSY, CONSOLE_OFF,
 * VM_NOT_FOUND, LIBVIRT_*.
 */
export async function openSerialConsole(
  libvirt: LibvirtStreams,
  vmId: string,
  options: { readonly force: boolean; readonly signal: AbortSignal },
): Promise<Duplex> {
  const flags = options.force ? VIR_DOMAIN_CONSOLE.FORCE : 0
  try {
    // The signal is for opening it; what ends it is its own end.
    options.signal.throwIfAborted()
    const args = { dom: domainRef(vmId), dev_name: null, flags }
    const stream = await libvirt.openStream('remote:DOMAIN_OPEN_CONSOLE', args, { idleTimeoutMs: Infinity })
    return new SerialStream(stream)
  } catch (error) {
    if (isLibvirtError(error, VIR_ERR.OPERATION_FAILED) && /active console session/i.test(error.message)) {
      throw new AgentError(
        'CONSOLE_BUSY',
        `somebody else has the serial console of VM ${vmId}; ask with force to take it over`,
        { cause: error },
      )
    }
    if (isLibvirtError(error, VIR_ERR.OPERATION_INVALID)) {
      throw new AgentError('CONSOLE_OFF', `VM ${vmId} does not run, so it has no console`, { cause: error })
    }
    throw vmError(error, vmId)
  }
}

/** A stream of libvirt in both directions as Node has streams; its end is the end of the connection. */
class SerialStream extends Duplex {
  readonly #stream: LibvirtStream

  constructor(stream: LibvirtStream) {
    super({ allowHalfOpen: false })
    this.#stream = stream
  }

  override _read(): void {
    this.#stream.read().then(
      (item) => {
        if (item === undefined) this.push(null)
        // A console has no holes; one would be as good as nothing.
        else if (isHole(item)) this._read()
        else this.push(item)
      },
      (error: Error) => this.destroy(error),
    )
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#stream.write(chunk).then(() => done(), done)
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#stream.abort().then(
      () => done(error),
      () => done(error),
    )
  }
}
