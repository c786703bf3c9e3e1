import path from 'node:path'
import type { IscsiLunFacts, NfsMountFacts } from '../core/model.ts'
import type { MountEntry } from '../platform/mounts.ts'
import { followLink, listNames, readAttribute, readNumber } from '../platform/sysfs.ts'

const SECTOR_BYTES = 512
// LUNs from 256 on carry the mark of flat space addressing (SAM-5, 4.7.7).
const FLAT_SPACE = 0x4000

/** NFS mounts of the host, one per mount point, from mountinfo alone: nothing asks a server. */
export function nfsMounts(mounts: readonly MountEntry[]): NfsMountFacts[] {
  return mounts
    .filter(({ fsType }) => fsType === 'nfs' || fsType === 'nfs4')
    .map(({ mountPoint, source }) => {
      // IPv6 servers stand in brackets: [2001:db8::1]:/export.
      const [, server = '', exportPath = ''] = /^(\[[^\]]*\]|[^:]*):(.*)$/.exec(source) ?? [undefined, '', source]
      return { mountPoint, server: server.replace(/^\[|\]$/g, ''), exportPath }
    })
}

/** Disks of iSCSI sessions from sysfs; a session without a disk is one entry without a device. */
export async function readIscsiLuns(sys: string): Promise<IscsiLunFacts[]> {
  const root = path.join(sys, 'class/iscsi_session')
  return (await Promise.all((await listNames(root)).map((session) => readSession(sys, session)))).flat()
}

/** Names in /sys/block of the disks that are LUNs of iSCSI targets. */
export async function iscsiDiskNames(sys: string): Promise<Set<string>> {
  const names = await listNames(sys, 'block')
  const places = await Promise.all(names.map((name) => followLink(sys, 'block', name)))
  return new Set(names.filter((_, index) => /\/session\d+\/target/.test(places[index] ?? '')))
}

async function readSession(sys: string, session: string): Promise<IscsiLunFacts[]> {
  const targetIqn = await readAttribute(sys, 'class/iscsi_session', session, 'targetname')
  // It is going away.
  if (targetIqn === '') return []
  const connection = path.join(sys, 'class/iscsi_connection', `${session.replace('session', 'connection')}:0`)
  const address =
    (await readAttribute(connection, 'persistent_address')) || (await readAttribute(connection, 'address'))
  const port = (await readNumber(connection, 'persistent_port')) ?? 3260
  const portal = address === '' ? '' : `${address.includes(':') ? `[${address}]` : address}:${port}`
  const device = path.join(sys, 'class/iscsi_session', session, 'device')
  const luns: IscsiLunFacts[] = []
  for (const target of (await listNames(device)).filter((name) => name.startsWith('target'))) {
    for (const place of (await listNames(device, target)).filter((name) => /^\d+(:\d+){3}$/.test(name))) {
      const [disk] = await listNames(device, target, place, 'block')
      if (disk === undefined) continue
      luns.push({
        targetIqn,
        portal,
        devicePath: `/dev/${disk}`,
        sizeBytes: ((await readNumber(device, target, place, 'block', disk, 'size')) ?? 0) * SECTOR_BYTES,
        lun: Number(place.split(':')[3]) & ~FLAT_SPACE,
      })
    }
  }
  return luns.length > 0 ? luns : [{ targetIqn, portal, devicePath: '', sizeBytes: 0, lun: 0 }]
}
