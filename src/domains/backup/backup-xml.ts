import { writeXml } from '../../libvirt/write-xml.ts'
import { el } from '../../libvirt/xml-node.ts'
import type { XmlElement } from '../read-xml.ts'

/** Where one disk goes. */
export interface BackupTarget {
  readonly targetDev: string
  /** A qcow2 that is there. */
  readonly path: string
}

/** `<domainbackup>` that pushes the disks into their targets: all of each, or what changed since the checkpoint `since`. `all` are the names of all disks of the VM. */
export function backupXml(targets: readonly BackupTarget[], all: readonly string[], since: string): string {
  const pathOf = new Map(targets.map(({ targetDev, path }) => [targetDev, path]))
  const disks = all.map((name) => {
    const path = pathOf.get(name)
    if (path === undefined) return el('disk', { name, backup: 'no' })
    return el('disk', { name, backup: 'yes', type: 'file' }, [
      el('driver', { type: 'qcow2' }),
      el('target', { file: path }),
    ])
  })
  return writeXml(
    el('domainbackup', { mode: 'push' }, [since !== '' && el('incremental', {}, since), el('disks', {}, disks)]),
  )
}

/** What a `<domainbackup>` in pull mode serves: `scratch` keeps what the guest overwrites meanwhile. */
export interface PullXml {
  readonly socket: string
  readonly disks: readonly { readonly targetDev: string; readonly exportName: string; readonly bitmap: string }[]
  readonly scratch: readonly BackupTarget[]
  readonly allDisks: readonly string[]
  /** As in `backupXml`. */
  readonly since: string
}

/** `<domainbackup>` that serves the disks on a UNIX socket by NBD, with what changed since the checkpoint `since` in a bitmap. */
export function pullXml({ socket, disks, scratch, allDisks, since }: PullXml): string {
  const nodes = allDisks.map((name) => {
    const disk = disks.find(({ targetDev }) => targetDev === name)
    const file = scratch.find(({ targetDev }) => targetDev === name)?.path
    if (disk === undefined || file === undefined) return el('disk', { name, backup: 'no' })
    const exportbitmap = since === '' ? undefined : disk.bitmap.slice(BITMAP_CONTEXT.length)
    return el('disk', { name, backup: 'yes', type: 'file', exportname: disk.exportName, exportbitmap }, [
      el('driver', { type: 'qcow2' }),
      el('scratch', { file }),
    ])
  })
  return writeXml(
    el('domainbackup', { mode: 'pull' }, [
      since !== '' && el('incremental', {}, since),
      el('server', { transport: 'unix', socket }),
      el('disks', {}, nodes),
    ]),
  )
}

/** NBD's meta context of a bitmap of QEMU is this and its name. */
export const BITMAP_CONTEXT = 'qemu:dirty-bitmap:'

/** The UNIX socket on which a `<domainbackup>` of libvirt serves; undefined for others. */
export function socketOf(backup: XmlElement): string | undefined {
  return backup.first('server')?.attribute('socket')
}

/** `<domaincheckpoint>` over the disks of a backup. */
export function checkpointXml(
  name: string,
  targets: readonly Pick<BackupTarget, 'targetDev'>[],
  all: readonly string[],
): string {
  const kept = new Set(targets.map(({ targetDev }) => targetDev))
  const disks = all.map((disk) => el('disk', { name: disk, checkpoint: kept.has(disk) ? 'bitmap' : 'no' }))
  return writeXml(el('domaincheckpoint', {}, [el('name', {}, name), el('disks', {}, disks)]))
}

/** The files that a `<domainbackup>` of libvirt pushes into. */
export function targetsOf(backup: XmlElement): string[] {
  const disks = backup.first('disks')?.all('disk') ?? []
  return disks.flatMap((disk) => disk.first('target')?.attribute('file') ?? [])
}
