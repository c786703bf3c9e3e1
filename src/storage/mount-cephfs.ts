import { isIP } from 'node:net'
import { z } from 'zod'
import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import type { MonitorAddress } from '../core/model.ts'
import type { MountEntry } from '../platform/mounts.ts'
import { clusterName, monitorText, parseMonitor, type CephClient } from './ceph-client.ts'

/** What a CephFS pool is mounted from, and as whom. */
export interface CephFsMount {
  readonly client: CephClient
  /** Name of the file system; '' = the default one of the cluster. */
  readonly fileSystem: string
  /** Directory of the file system; absolute, normalised. */
  readonly path: string
}

/** Options of every mount; docs/storage.md has the reasons. */
const ALWAYS = ['nosuid', 'nodev', 'noexec', 'mount_timeout=10', 'recover_session=clean']
/** Port of the second version of the Ceph protocol. */
const MSGR2_PORT = 3300

/** The name of a file system as Ceph allows it, or '' for the default one. POOL_CONFIG_INVALID. */
export function parseFileSystem(text: string): string {
  if (text === '' || /^[A-Za-z0-9_.][A-Za-z0-9_.-]{0,63}$/.test(text)) return text
  throw new AgentError('POOL_CONFIG_INVALID', `ceph.pool_name: ${quote(text)} is not the name of a file system`)
}

/** The source in front of mount(8): monitors and directory. The form `user@fsid.name=/` is not known to mount.ceph before Ceph 17. */
export function cephFsSource({ client, path }: CephFsMount): string {
  return `${usedMonitors(client).map(monitorText).join(',')}:${path}`
}

/** All options but the one with the key. */
export function cephFsOptions(mount: CephFsMount): string[] {
  const { client, fileSystem } = mount
  return [
    `name=${client.user}`,
    ...(fileSystem === '' ? [] : [`fs=${fileSystem}`]),
    ...(speaksMsgr2(client) ? ['ms_mode=prefer-crc'] : []),
    ...ALWAYS,
  ]
}

/** Why a mount is not `wanted`, or undefined when it is: cluster, file system, directory, user, and what happens when the cluster drops this host. */
export function cephFsMismatch(entry: MountEntry, wanted: CephFsMount): string | undefined {
  const { mountPoint, source, fsType } = entry
  const is = (what: string) => `${mountPoint} is mounted from ${what}`
  const place = splitCephFsSource(source)
  if (fsType !== 'ceph' || place === undefined) {
    return is(`${source} (${fsType}), not from CephFS ${cephFsSource(wanted)}`)
  }
  if (!mayBeSameCluster(place.monitors, wanted.client)) {
    return is(`another cluster, ${source} instead of ${cephFsSource(wanted)}`)
  }
  const { user, fileSystem, recovers } = optionsOfCephFs(entry)
  if (fileSystem !== wanted.fileSystem) {
    return is(`the file system ${named(fileSystem)} of ${clusterName(wanted.client)}, not ${named(wanted.fileSystem)}`)
  }
  if (place.path !== wanted.path)
    return is(`another directory of the file system, ${place.path} instead of ${wanted.path}`)
  if (user !== wanted.client.user)
    return `${mountPoint} is mounted as client.${user}, not as client.${wanted.client.user}`
  if (!recovers) return `${mountPoint} is mounted from ${source} without the option recover_session=clean`
  if (isReadOnly(entry)) return `${mountPoint} is mounted read-only`
  return undefined
}

/** Monitors and directory of a mount source, or undefined when it is not of that form. */
export function splitCephFsSource(source: string): { monitors: MonitorAddress[]; path: string } | undefined {
  const at = source.indexOf(':/')
  if (at === -1) return undefined
  try {
    return {
      monitors: source.slice(0, at).split(',').map(parseMonitor),
      path: source.slice(at + 1).replace(/(.)\/+$/, '$1'),
    }
  } catch {
    return undefined
  }
}

/** User and file system of a mount that was found. */
export function optionsOfCephFs({ superOptions }: MountEntry): { user: string; fileSystem: string; recovers: boolean } {
  const has = superOptions.split(',')
  const valueOf = (key: string) => has.find((option) => option.startsWith(`${key}=`))?.slice(key.length + 1) ?? ''
  return {
    user: valueOf('name'),
    fileSystem: valueOf('mds_namespace') || valueOf('fs'),
    recovers: has.includes('recover_session=clean'),
  }
}

/** mount.ceph(8) says this for a wrong key, a wrong name, a silent cluster and one without metadata server alike. */
const SILENCE = /no mds server is up or the cluster is laggy/
/** The cluster was there and took no session: with recover_session=clean the kernel waits for a server that refused it. */
const NO_SESSION = /mount error[: ]+110\b|timed out/i

/** True for words that leave open what is wrong: the cluster has to be asked (judgeFsMap). */
export function isUnclearFailure(words: string): boolean {
  return SILENCE.test(words) || NO_SESSION.test(words)
}

/** What other words of mount.ceph(8) from Ceph 16 to 19 mean; undefined when they are new. */
export function cephFsMountFailure(words: string, mount: CephFsMount): AgentError | undefined {
  return FAILURES.find(([pattern]) => pattern.test(words))?.[1](mount)
}

const FAILURES: readonly (readonly [RegExp, (mount: CephFsMount) => AgentError])[] = [
  [
    /failed to resolve source|server name not found/,
    ({ client }) =>
      new AgentError('SERVER_UNKNOWN', `a monitor name of ${clusterName(client)} cannot be resolved to an address`),
  ],
  [
    /mount error[: ]+2\b|No such file or directory/,
    ({ client, path }) =>
      new AgentError('EXPORT_MISSING', `the file system of ${clusterName(client)} has no directory ${path}`),
  ],
  [
    /mount error[: ]+13\b|Permission denied|mount error[: ]+1\b|Operation not permitted/,
    ({ client, path }) =>
      new AgentError(
        'LOGIN_DENIED',
        `${clusterName(client)} does not let client.${client.user} use ${path}; see its capabilities with: ceph auth get client.${client.user}`,
      ),
  ],
  [
    /No route to host|unreachable/i,
    ({ client }) => new AgentError('SERVER_NOT_ANSWERING', `${clusterName(client)} does not answer`),
  ],
  [
    /mount error[: ]+22\b|Invalid argument|unrecognized mount option/i,
    () =>
      new AgentError(
        'MOUNT_OPTION_REFUSED',
        'the kernel of this host does not know an option of the mount; CephFS pools need Linux 5.11 or later',
      ),
  ],
  [
    /wrong fs type|need a \/sbin\/mount\.|unknown filesystem type|filesystem not supported/,
    () =>
      new AgentError(
        'COMMAND_MISSING',
        'mount.ceph or the ceph module of the kernel is missing; install the Debian package ceph-common',
      ),
  ],
]

const fsMapSchema = z.object({
  default_fscid: z.number().optional(),
  filesystems: z.array(
    z.object({
      id: z.number(),
      mdsmap: z.object({ fs_name: z.string(), info: z.record(z.string(), z.object({ state: z.string() })) }),
    }),
  ),
})

function parseFsMap(text: string): z.output<typeof fsMapSchema> | undefined {
  try {
    return fsMapSchema.safeParse(JSON.parse(text)).data
  } catch {
    // Not JSON: the caller has the words of mount(8) to show.
    return undefined
  }
}

/** Why a mount failed that ended with the unclear `words`, by what the cluster says of itself: `ceph fs dump --format json`; undefined when that is not understood. */
export function judgeFsMap(text: string, words: string, mount: CephFsMount): AgentError | undefined {
  const { client, fileSystem, path } = mount
  const map = parseFsMap(text)
  if (map === undefined) return undefined
  const { default_fscid: defaultId, filesystems } = map
  const wanted = filesystems.find(({ id, mdsmap }) => {
    return fileSystem === '' ? id === defaultId : mdsmap.fs_name === fileSystem
  })
  const cluster = clusterName(client)
  if (wanted === undefined) {
    const seen = filesystems.map(({ mdsmap }) => mdsmap.fs_name).join(', ') || 'none'
    const what = fileSystem === '' ? 'default file system' : `file system ${fileSystem}`
    return new AgentError(
      'CEPH_POOL_MISSING',
      `${cluster} has no ${what} for client.${client.user}, which sees: ${seen}`,
    )
  }
  const { fs_name: name, info } = wanted.mdsmap
  const active = Object.values(info).some(({ state }) => state === 'up:active')
  if (active && NO_SESSION.test(words)) {
    return new AgentError(
      'LOGIN_DENIED',
      `the metadata server of ${name} gives client.${client.user} no session on ${path}; check its capabilities with: ceph auth get client.${client.user} (or that this host reaches that server)`,
    )
  }
  return new AgentError(
    'SERVER_NOT_ANSWERING',
    active
      ? `${cluster} does not answer: its monitors do, the metadata server of ${name} does not`
      : `${cluster} does not answer: the file system ${name} has no active metadata server`,
  )
}

function speaksMsgr2({ monitors }: CephClient): boolean {
  return monitors.some(({ port }) => port === MSGR2_PORT)
}

// The kernel speaks one version of the protocol to all of them.
function usedMonitors(client: CephClient): readonly MonitorAddress[] {
  return speaksMsgr2(client) ? client.monitors.filter(({ port }) => port === MSGR2_PORT) : client.monitors
}

// mount.ceph resolves names, so the kernel shows addresses: then only the marker tells clusters apart.
function mayBeSameCluster(monitors: readonly MonitorAddress[], client: CephClient): boolean {
  const wanted = usedMonitors(client)
  if (wanted.some(({ host }) => isIP(host) === 0)) return true
  const texts = wanted.map(monitorText)
  return monitors.some((monitor) => texts.includes(monitorText(monitor)))
}

function isReadOnly({ options, superOptions }: MountEntry): boolean {
  return [options, superOptions].some((list) => list.split(',').includes('ro'))
}

function named(fileSystem: string): string {
  return fileSystem === '' ? '(default)' : fileSystem
}
