/** More than this of one stream is cut in the guest. Through libvirt an answer of some megabytes breaks the agent's channel for good. */
export const MAX_OUTPUT_BYTES = 1024 * 1024

// $1 is the limit, the rest the program. What is over the limit is read and dropped, so that the program neither stops nor ends of it; its exit code is kept.
// Descriptors: 3 takes the exit code past both pipes, 4 stdout past the one of stderr, 5 and 6 are the real stdout and stderr.
// A guest without these tools gets its program as it is; the host cuts what comes of it.
// By exec, so that it is a program of that name and no word of the shell: echo is not the same in both.
const SCRIPT = `limit() { head -c "$1"; cat >/dev/null; }
max=$1; shift
{ printf x | head -c 1 && cat </dev/null; } >/dev/null 2>&1 || exec "$@"
exec 5>&1 6>&2
code=$({ { { (exec "$@" 3>&- 4>&- 5>&- 6>&-); echo $? >&3; } 2>&1 1>&4 | limit "$max" >&6; } 4>&1 | limit "$max" >&5; } 3>&1)
exit "$code"`

/** The arguments with which `/bin/sh` of a POSIX guest runs a program and lets at most `maxBytes` of each of its streams out. */
export function boundedCommand(program: string, args: readonly string[], maxBytes: number): string[] {
  return ['-c', SCRIPT, 'sh', String(maxBytes), program, ...args]
}
