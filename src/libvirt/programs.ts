import type { Procedure, Program } from './program.ts'
import type { Procedures } from './wire/procedures.gen.ts'
import { qemuProgram } from './wire/qemu-codec.gen.ts'
import { remoteProgram } from './wire/remote-codec.gen.ts'

/** A procedure under libvirt's own name: `remote:DOMAIN_GET_STATE`, `qemu:DOMAIN_MONITOR_COMMAND`. */
export type ProcedureName = keyof Procedures

/** The programs that the client speaks. */
export const PROGRAMS: readonly Program[] = [remoteProgram, qemuProgram]

/** Looks a procedure up by its name. */
export function findProcedure(name: ProcedureName): { readonly program: Program; readonly procedure: Procedure } {
  for (const program of PROGRAMS) {
    const procedure = program.procedures[name]
    if (procedure !== undefined) return { program, procedure }
  }
  throw new TypeError(`unknown libvirt procedure ${name}`)
}
