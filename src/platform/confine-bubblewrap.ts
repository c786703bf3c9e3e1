import { isDevice, NAME_FILES, NOBODY_ID, type Confinement } from './confinement.ts'

/** Programs and their libraries; the dynamic linker's cache is all of /etc that they need. */
const SYSTEM = ['/usr', '/bin', '/lib', '/lib64', '/etc/ld.so.cache']

// Root's own files may be those of other users. No user namespace: in one, files of others would be out of reach.
const CAPABILITIES = ['--cap-drop', 'ALL', '--cap-add', 'CAP_DAC_OVERRIDE']

// What it takes to become nobody, and to give these up.
const CAPABILITIES_TO_CHANGE = ['CAP_SETUID', 'CAP_SETGID', 'CAP_SETPCAP'].flatMap((name) => ['--cap-add', name])
const AS_NOBODY = [
  ...['setpriv', '--reuid', NOBODY_ID, '--regid', NOBODY_ID, '--clear-groups', '--bounding-set', '-all'],
  ...['--no-new-privs', '--'],
]

/** bubblewrap (bwrap(1)): namespaces of its own, in which there are programs, an empty /dev and the named files. */
export const confinedByBubblewrap: Confinement = {
  kind: 'bubblewrap',
  possible: () => Promise.resolve(true),
  inside: insidePath,
  wrap(command, { reads, writes, asNobody = false, network = false }, limits) {
    const cage = [
      ...(network ? [] : ['--unshare-net']),
      ...['--unshare-pid', '--unshare-ipc', '--unshare-uts', '--unshare-cgroup-try'],
      ...['--die-with-parent', '--dev', '/dev', '--chdir', '/'],
      ...(asNobody ? ['--cap-drop', 'ALL', ...CAPABILITIES_TO_CHANGE] : CAPABILITIES),
      ...[...SYSTEM, ...(network ? NAME_FILES : [])].flatMap((path) => ['--ro-bind-try', path, path]),
      // Other binds shut devices; for these the file system being read-only would mean nothing.
      ...reads.flatMap((path, index) => [isDevice(path) ? '--dev-bind' : '--ro-bind', path, insidePath(path, index)]),
      ...writes.flatMap((path, index) => ['--dev-bind', path, insidePath(path, reads.length + index)]),
    ]
    return {
      ...command,
      file: 'prlimit',
      package: 'util-linux',
      args: [...limits, '--', 'bwrap', ...cage, '--', ...(asNobody ? AS_NOBODY : []), command.file, ...command.args],
    }
  },
}

/** A path by which a file is bound into a root of its own: its own where that can be, so that messages can be read. */
export function insidePath(path: string, index: number): string {
  return /^\/(proc|dev|usr|bin|lib|lib64|etc)\//.test(path) ? `/image-${index}` : path
}
