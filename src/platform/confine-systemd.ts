import { readFileSync } from 'node:fs'
import { insidePath } from './confine-bubblewrap.ts'
import { isDevice, NAME_FILES, NOBODY_ID, type Confinement } from './confinement.ts'
import { run } from './exec.ts'
import { isManagedHost } from './managed-host.ts'

const STOP_TIMEOUT_MS = 10_000
const SYSTEM = ['/usr', '-/bin', '-/lib', '-/lib64', '-/etc/ld.so.cache']

const AS_ROOT = ['CapabilityBoundingSet=CAP_DAC_OVERRIDE']
const AS_NOBODY = [`User=${NOBODY_ID}`, `Group=${NOBODY_ID}`, 'SupplementaryGroups=', 'CapabilityBoundingSet=']

const SANDBOX = [
  'TemporaryFileSystem=/:ro',
  `BindReadOnlyPaths=${SYSTEM.join(' ')}`,
  'PrivateDevices=yes',
  'PrivateIPC=yes',
  'NoNewPrivileges=yes',
  'SystemCallFilter=@system-service',
  'SystemCallErrorNumber=EPERM',
  'TimeoutStopSec=2',
]

const WITHOUT_NETWORK = ['PrivateNetwork=yes', 'RestrictAddressFamilies=AF_UNIX']
const WITH_NETWORK = [
  'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK',
  `BindReadOnlyPaths=${NAME_FILES.map((path) => `-${path}`).join(' ')}`,
]

/**
 * A transient service of PID 1 (systemd-run(1), systemd.exec(5)): what remains where the agent's own unit may make no namespaces, as its unit file has it.
 */
export const confinedBySystemd: Confinement = {
  kind: 'systemd',
  possible: isManagedHost,
  inside: insidePath,
  wrap(command, { reads, writes, asNobody = false, network = false }, limits, id) {
    const bind = (property: string, paths: readonly string[], first: number) =>
      paths.map((path, index) => `${property}=${quoted(path)}:${quoted(insidePath(path, first + index))}`)
    const properties = [
      ...SANDBOX,
      ...(network ? WITH_NETWORK : WITHOUT_NETWORK),
      ...(asNobody ? AS_NOBODY : AS_ROOT),
      ...ownUnit().flatMap((unit) => [`BindsTo=${unit}`, `After=${unit}`]),
      ...bind('BindReadOnlyPaths', reads, 0),
      ...bind('BindPaths', writes, reads.length),
      ...reads.filter(isDevice).map((path) => `DeviceAllow=${path} r`),
      ...writes.filter(isDevice).map((path) => `DeviceAllow=${path} rw`),
      // It ends even when nobody lives to stop it.
      `RuntimeMaxSec=${Math.ceil(command.timeoutMs / 1000) + 10}`,
    ]
    return {
      ...command,
      file: 'systemd-run',
      package: 'systemd',
      args: [
        ...['--quiet', '--wait', '--pipe', '--collect', '--service-type=exec', `--unit=${unitName(id)}`],
        `--description=${command.name ?? command.file} of limiquantix-node, confined`,
        ...properties.flatMap((property) => ['--property', property]),
        ...Object.entries({ LC_ALL: 'C', ...command.env }).map(([name, value]) => `--setenv=${name}=${value}`),
        ...['--', 'prlimit', ...limits, '--', command.file, ...command.args],
      ],
    }
  },
  stop: async (id) =>
    run({ file: 'systemctl', args: ['stop', unitName(id)], okCodes: [5], timeoutMs: STOP_TIMEOUT_MS }),
}

function unitName(id: string): string {
  return `limiquantix-tool-${id}.service`
}

// systemd.syntax(7): quotes keep blanks and colons together.
function quoted(path: string): string {
  return `"${path.replace(/["\\]/g, '\\$&')}"`
}

// The service this process is part of, with which the tool ends too.
function ownUnit(): string[] {
  const unit = /\/([^/\n]+\.service)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1]
  return unit === undefined ? [] : [unit]
}
