import { readTextIfPresent } from '../platform/files.ts'

/** Groups by which QEMU processes may read files, best first (Debian, then Fedora and others). */
const CANDIDATES = ['kvm', 'libvirt-qemu', 'qemu'] as const

/** The numeric id of the group that the QEMU user of this host is in; undefined when there is none of the known ones. */
export async function findQemuGroup(groupFile = '/etc/group'): Promise<number | undefined> {
  const text = (await readTextIfPresent(groupFile)) ?? ''
  const ids = new Map(text.split('\n').map((line) => [line.split(':')[0], Number(line.split(':')[2])]))
  for (const name of CANDIDATES) {
    const id = ids.get(name)
    if (id !== undefined && Number.isInteger(id)) return id
  }
  return undefined
}
