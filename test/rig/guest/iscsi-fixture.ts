import { rm } from 'node:fs/promises'
import type { PoolConfig } from '../../../src/core/model.ts'
import { iscsiPools } from '../../../src/storage/backends/iscsi.ts'
import type { PoolFixture } from '../../conformance/pool-backend.ts'
import { tempBase, tool } from '../../host/storage/local-fixture.ts'
import { storageEnvironment } from '../../support/storage-environment.ts'
import { atEnd } from './at-end.ts'
import { emptyGroup, stalledLvm, volumesIn } from './lvm-fixture.ts'

const PORTAL = '10.99.0.1'
const TARGET = 'iqn.2025-01.rig:chap'
const CHAP = { user: 'chapuser', password: 'chapsecret12' }
const DISK = `/dev/disk/by-path/ip-${PORTAL}:3260-iscsi-${TARGET}-lun-1`
const GROUP = 'lqx-iscsi'
const AWAY = 'lqx-iscsi-away'
/** An iSCSI pool has no other name for it. */
const THIN_POOL = 'thin_pool-1'

let prepared: Promise<void> | undefined

/** Logs in by hand, so that what is on the LUN can be looked at while the pool is out of use, and makes the thin pool that all tests share. */
async function prepare(): Promise<void> {
  atEnd(async () => {
    const away = `vgremove -ff -y ${GROUP} ${AWAY}; iscsiadm -m node -T ${TARGET} --logout; rm -rf /etc/iscsi/nodes/${TARGET}; true`
    await tool('sh', '-c', away)
  })
  const node = ['-m', 'node', '-T', TARGET, '-p', PORTAL]
  const set = (name: string, value: string) => tool('iscsiadm', ...node, '-o', 'update', '-n', name, '-v', value)
  await tool('iscsiadm', ...node, '-o', 'new')
  await set('node.session.auth.authmethod', 'CHAP')
  await set('node.session.auth.username', CHAP.user)
  await set('node.session.auth.password', CHAP.password)
  await tool('iscsiadm', ...node, '--login')
  await tool('udevadm', 'wait', '--timeout=30', DISK)
  await tool('vgcreate', GROUP, DISK)
  await tool('lvcreate', '-y', '--type', 'thin-pool', '-l', '90%FREE', '-n', THIN_POOL, GROUP)
}

/** A pool on a blank LUN that was given a volume group by the admin: taking it away is another volume group on the LUN. */
export async function iscsiFixture(): Promise<PoolFixture> {
  prepared ??= prepare()
  await prepared
  const base = await tempBase()
  const environment = storageEnvironment(base, { nodeId: 'rig-node' })
  const chap = { chapEnabled: true, chapUser: CHAP.user, chapPassword: CHAP.password }
  const config = (poolId: string): PoolConfig => ({
    poolId,
    kind: 'ISCSI',
    options: { portal: PORTAL, target: TARGET, lun: 1, volumeGroup: GROUP, ...chap },
  })
  let group = GROUP
  const rename = async (to: string) => {
    await tool('vgrename', group, to)
    group = to
  }
  return {
    factory: iscsiPools(environment),
    environment,
    config: config('pool-1'),
    rival: config('pool-2'),
    secrets: [CHAP.password],
    contents: () => volumesIn(group, THIN_POOL),
    plantForeign: async (name) =>
      void (await tool('lvcreate', '-y', '-V', '64m', '--thinpool', THIN_POOL, '-n', name, GROUP)),
    takeAway: () => rename(AWAY),
    giveBack: () => rename(GROUP),
    stall: () => stalledLvm(base),
    async close() {
      environment.io.close()
      if (group !== GROUP) await rename(GROUP)
      await emptyGroup(GROUP, THIN_POOL)
      await rm(base, { recursive: true })
    },
  }
}
