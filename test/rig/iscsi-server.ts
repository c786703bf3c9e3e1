import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat, truncate } from 'node:fs/promises'
import path from 'node:path'
import type { Rig } from './rig.ts'

/** Targets of the rig (scripts/lib/rig/iscsi-targets.list). */
export const PLAIN_TARGET = 'iqn.2025-01.rig:plain'
export const CHAP_TARGET = 'iqn.2025-01.rig:chap'
export const CHAP_USER = 'chapuser'
export const CHAP_PASSWORD = 'chapsecret12'
const LUNS = ['plain-1', 'plain-2', 'chap-1'] as const

/** The server's side of a LUN, `<target>-<lun>`: a file on this machine. */
export function lunFile(rig: Rig, name: (typeof LUNS)[number]): string {
  return path.join(rig.directory, 'iscsi', `${name}.img`)
}

/** Makes every LUN blank again. Nobody is logged in. */
export async function blankLuns(rig: Rig): Promise<void> {
  for (const name of LUNS) {
    const file = lunFile(rig, name)
    const { size } = await stat(file)
    await truncate(file, 0)
    await truncate(file, size)
  }
}

/** SHA-256 of the content of a LUN. */
export async function lunHash(rig: Rig, name: (typeof LUNS)[number]): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(lunFile(rig, name), { highWaterMark: 2 ** 20 }))
    hash.update(chunk as Buffer)
  return hash.digest('hex')
}

/**
 * Everything of iSCSI and LVM on the host that a pool could leave behind: sessions, node records, device-mapper entries, what the agent keeps.
 */
export async function iscsiLeftovers(rig: Rig): Promise<string[]> {
  const output = await rig.exec(
    'ls -d /sys/class/iscsi_session/session* /sys/block/dm-* /var/lib/limiquantix/store/iscsi-sessions/*.json 2>/dev/null; find /etc/iscsi/nodes -type f 2>/dev/null; true',
  )
  return output.split('\n').filter((line) => line !== '')
}

/** Removes everything of iSCSI and LVM from the host, whatever a test left. The agent has no iSCSI pool. */
export async function clearInitiator(rig: Rig): Promise<void> {
  await rig.tryExec(
    'iscsiadm -m session -u; for n in 1 2 3; do dmsetup remove_all; done; rm -rf /etc/iscsi/nodes/* /etc/iscsi/send_targets/*',
  )
}
