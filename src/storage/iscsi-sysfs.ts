import { readlink } from 'node:fs/promises'
import path from 'node:path'
import { followLink, listNames, readAttribute, readNumber } from '../platform/sysfs.ts'
import type { IscsiTarget } from './iscsi-target.ts'

/** A session of this host's initiator as the kernel shows it. Reading this never waits for the target. */
export interface KernelSession {
  /** `session7`: unique since the host started. */
  readonly name: string
  readonly targetName: string
  /** What the initiator was told, which may be a name, and where it is connected to. */
  readonly askedHost: string
  readonly address: string
  readonly port: number
  /** LOGGED_IN, FAILED (the connection broke, the target is tried again), FREE (given up for now, still tried). */
  readonly state: string
  /** True when the LUNs of the target were looked for. */
  readonly scanned: boolean
}

/** A LUN of a session; `disk` is its name in /dev, undefined before the kernel has made one. */
export interface KernelLun {
  readonly disk: string | undefined
  /** `running`, `blocked` (I/O waits), `transport-offline` (I/O fails), … */
  readonly state: string
}

/** LUNs from this one on carry the mark of flat space addressing in the kernel's number (SAM-5, 4.7.7). */
const FIRST_FLAT_LUN = 256
const FLAT_SPACE = 0x4000

/** All sessions of the host. */
export async function readSessions(sys: string): Promise<KernelSession[]> {
  const names = await listNames(sys, 'class/iscsi_session')
  const sessions = await Promise.all(names.map((name) => readSession(sys, name)))
  // One that is going away while it is read has no target any more.
  return sessions.filter(({ targetName }) => targetName !== '')
}

/** Whether a session leads to the target; `addresses` are those of a portal that is given by name. */
export function leadsTo(session: KernelSession, target: IscsiTarget, addresses: readonly string[]): boolean {
  const { host, port } = target.portal
  const here = [host, ...addresses]
  return (
    session.targetName.toLowerCase() === target.name &&
    session.port === port &&
    (here.includes(session.askedHost.toLowerCase()) || here.includes(session.address.toLowerCase()))
  )
}

/** One LUN of a session; undefined when the target has not shown it. */
export async function readLun(sys: string, session: string, lun: number): Promise<KernelLun | undefined> {
  const wanted = lun < FIRST_FLAT_LUN ? [lun] : [lun, lun | FLAT_SPACE]
  const device = (await lunDirectories(sys, session)).find((directory) =>
    wanted.includes(Number(path.basename(directory).split(':')[3])),
  )
  if (device === undefined) return undefined
  const [disk] = await listNames(device, 'block')
  return { disk, state: await readAttribute(device, 'state') }
}

/** Session and LUN that a disk (`/dev/sdb`) is; undefined for one that is no LUN of an iSCSI target. */
export async function lunOfDisk(sys: string, disk: string): Promise<{ session: string; lun: number } | undefined> {
  const place = await followLink(sys, 'class/block', path.basename(disk))
  const [, session, lun] = /\/(session\d+)\/target[^/]*\/\d+:\d+:\d+:(\d+)\/block\/[^/]+$/.exec(place) ?? []
  if (session === undefined) return undefined
  return { session, lun: Number(lun) & ~FLAT_SPACE }
}

/** Disks of a session that something on this host has taken: mapped devices other than those of `isOwn` names, RAID, or what `mounted` (major:minor) says. */
export async function disksInUse(
  sys: string,
  session: string,
  mounted: ReadonlySet<string>,
  isOwn: (map: string) => boolean = () => false,
): Promise<string[]> {
  const disks = (await Promise.all((await lunDirectories(sys, session)).map((at) => listNames(at, 'block')))).flat()
  const used = await Promise.all(
    disks.map(async (disk) => {
      const parts = (await listNames(sys, 'block', disk)).filter((name) => name.startsWith(disk))
      const places = [disk, ...parts.map((part) => `${disk}/${part}`)]
      const taken = await Promise.all(
        places.map(async (place) => {
          const holders = await listNames(sys, 'block', place, 'holders')
          const maps = await Promise.all(holders.map((holder) => readAttribute(sys, 'block', holder, 'dm/name')))
          return (
            maps.some((map) => map === '' || !isOwn(map)) ||
            mounted.has(await readAttribute(sys, 'block', place, 'dev'))
          )
        }),
      )
      return taken.includes(true) ? [disk] : []
    }),
  )
  return used.flat()
}

/**
 * The stable name udev gave to a disk of a LUN (`/dev/disk/by-path/ip-<portal>-iscsi-<target>-lun-<n>`), undefined while it is not there or still that of an
 * earlier session.
 */
export async function lunLink(dev: string, { name }: IscsiTarget, disk: string): Promise<string | undefined> {
  const directory = path.join(dev, 'disk/by-path')
  const links = (await listNames(directory)).filter(
    (link) => /^ip-.*-iscsi-/.test(link) && link.includes(`-iscsi-${name}-lun-`),
  )
  for (const link of links) {
    const place = path.join(directory, link)
    const leads = await readlink(place).catch(() => '')
    if (!link.includes('-part') && path.basename(leads) === disk) return place
  }
  return undefined
}

async function readSession(sys: string, name: string): Promise<KernelSession> {
  const at = path.join(sys, 'class/iscsi_session', name)
  // Sessions of this agent have one connection: connection7:0.
  const connection = path.join(sys, 'class/iscsi_connection', `${name.replace('session', 'connection')}:0`)
  return {
    name,
    targetName: await readAttribute(at, 'targetname'),
    askedHost: await readAttribute(connection, 'persistent_address'),
    address: await readAttribute(connection, 'address'),
    port: (await readNumber(connection, 'persistent_port')) ?? 0,
    state: await readAttribute(at, 'state'),
    scanned: (await readAttribute(at, 'target_state')) === 'SCANNED',
  }
}

// /sys/class/iscsi_session/session7/device/target0:0:0/0:0:0:1
async function lunDirectories(sys: string, session: string): Promise<string[]> {
  const root = path.join(sys, 'class/iscsi_session', session, 'device')
  const targets = (await listNames(root)).filter((name) => name.startsWith('target'))
  const luns = await Promise.all(
    targets.map(async (target) => {
      const names = await listNames(root, target)
      return names.filter((name) => /^\d+(:\d+){3}$/.test(name)).map((name) => path.join(root, target, name))
    }),
  )
  return luns.flat()
}
