import type { XdrReader } from './xdr-reader.ts'
import type { XdrWriter } from './xdr-writer.ts'

/** One remote procedure as the generated tables describe it. */
export interface Procedure {
  readonly number: number
  /** True when libvirt runs it on its priority workers: it never waits for a guest's monitor or agent. */
  readonly highPriority: boolean
  // `never` is the one parameter type that every generated encoder accepts; client.ts restores the real one from the name.
  readonly encode: ((writer: XdrWriter, args: never) => void) | undefined
  readonly decode: ((reader: XdrReader) => unknown) | undefined
  /** Path of the domain in the arguments (`dom`, `snap.dom`), if there is one. */
  readonly domainPath: string | undefined
  /** Direction of the stream that follows the reply, seen from the client. */
  readonly stream: 'read' | 'write' | undefined
}

/** One message that the daemon sends unasked. */
export interface EventMessage {
  readonly name: string
  readonly decode: (reader: XdrReader) => unknown
}

/** One RPC program: its number on the wire, its procedures by libvirt's name and its events by number. */
export interface Program {
  readonly program: number
  readonly version: number
  readonly procedures: Readonly<Record<string, Procedure>>
  readonly events: ReadonlyMap<number, EventMessage>
}
