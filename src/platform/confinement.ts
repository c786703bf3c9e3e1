import type { Command } from './exec.ts'

/** Everything a confined tool may open; absolute paths. A path through `/proc` (a directory handle of a process) is taken for what it leads to. */
export interface ToolAccess {
  /** Files, or block devices; a device is kept from being written to only where systemd confines. */
  readonly reads: readonly string[]
  /** Files that are there, or block devices. The tool can change these and make no others. */
  readonly writes: readonly string[]
  /** It works on its standard streams alone: as nobody, without any capability. */
  readonly asNobody?: boolean
  /** It reaches the network of the host, and what it takes to resolve names: for storage that is there. */
  readonly network?: boolean
}

/** What resolves the names of servers; what is missing is left out. */
export const NAME_FILES = ['resolv.conf', 'hosts', 'nsswitch.conf', 'host.conf', 'gai.conf'].map(
  (name) => `/etc/${name}`,
)

/** Nobody, on every host. */
export const NOBODY_ID = '65534'

/** True for a path that is a device, if it is anything. */
export function isDevice(path: string): boolean {
  return path.startsWith('/dev/')
}

/** What a confined tool may use up. */
export interface ToolLimits {
  readonly addressSpaceBytes: number
  readonly cpuSeconds: number
  /** The largest file it may write. */
  readonly fileBytes: number
  /** Files and connections at once; default 256. */
  readonly openFiles?: number
}

const GIB = 1024 ** 3

/**
 * The environment with which a tool keeps to a limit of address space. glibc reserves 64 MiB and more for an arena in every new thread, up to eight for each processor: a tool with
 * many threads runs out of address space long before it has used any memory, and ends for want of a stack.
 */
export function environmentWithin(addressSpaceBytes: number): Readonly<Record<string, string>> {
  return { MALLOC_ARENA_MAX: String(Math.max(1, Math.floor(addressSpaceBytes / (2 * GIB)))) }
}

/** How a tool is confined: the best that this host lets the agent do. `rlimits` is limits alone: the tool sees the network and all files. */
export type ConfinementKind = 'bubblewrap' | 'systemd' | 'rlimits'

/** One way to put a command into a cage. */
export interface Confinement {
  readonly kind: ConfinementKind
  /** Whether trying it makes sense on this host. */
  possible(): Promise<boolean>
  /** The path inside for the path that is number `index` of what the tool may open. */
  inside(path: string, index: number): string
  /** The command that starts `command` confined. `id` is new for every run. */
  wrap(command: Command, access: ToolAccess, limits: readonly string[], id: string): Command
  /** Ends what goes on after the process that was started is gone. */
  stop?(id: string): Promise<unknown>
}
