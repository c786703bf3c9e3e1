import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll } from 'vitest'
import type { Rig } from './rig.ts'

/** The Ceph cluster of the rig, as the tests of one file use it. */
export interface CephForTests {
  /** Monitors as pools name them. */
  readonly monitors: readonly string[]
  /** Secret key of a user of the cluster (scripts/lib/ceph/users.list). */
  keyOf(user: string): Promise<string>
  /** A keyring file on the host: the key of `user`, or another one; returns its path. */
  keyring(user: string, key?: string): Promise<string>
}

const STARTED_WITHIN_MS = 120_000
const KEYRINGS = '/etc/ceph'

/** Registers hooks: the cluster runs during the tests of the file, and the host has no keyring of it afterwards. */
export function useCeph(rig: Rig): CephForTests {
  beforeAll(() => rig.server('ceph').start(), STARTED_WITHIN_MS)
  afterAll(async () => {
    await rig.server('ceph').stop()
    await rig.exec(`rm -f ${KEYRINGS}/*.keyring`)
  })
  const keyOf = async (user: string) => {
    const text = await readFile(`${rig.cephFiles}/client.${user}.keyring`, 'utf8')
    return /key = (\S+)/.exec(text)?.[1] ?? ''
  }
  return {
    monitors: [rig.serverAddress],
    keyOf,
    async keyring(user, key) {
      const file = `${KEYRINGS}/ceph.client.${user}.keyring`
      await rig.write(file, `[client.${user}]\n\tkey = ${key ?? (await keyOf(user))}\n`, '0600')
      return file
    },
  }
}
