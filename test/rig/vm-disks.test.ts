import { randomUUID } from 'node:crypto'
import { mkdir, stat, truncate } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { requirePrerequisite } from '../host/require.ts'
import { useCeph, type CephForTests } from './ceph.ts'
import type { Rig } from './rig.ts'
import { missingRig, useRig } from './use-rig.ts'
import { bootImageOnRig, bootVmOnPool } from './vm-on-pool.ts'

const DIRECTORY = '/srv/vm-disks'
const DISK = '/dev/disk/by-id/virtio-data2'
const TARGET = { name: 'iqn.2025-01.rig:plain', lun: 1, file: 'plain-1.img' }

interface Row {
  readonly type: string
  /** Options of the pool, after what the rig needs for it is there. */
  readonly prepare: (rig: Rig, ceph: CephForTests) => Promise<object>
  readonly diskType: 'file' | 'block' | 'network'
  /** Takes away what `prepare` made, after the pool is destroyed. */
  readonly clear?: (rig: Rig) => Promise<unknown>
}

/** One row per pool type. */
const ROWS: readonly Row[] = [
  {
    type: 'LOCAL_DIR',
    prepare: () => Promise.resolve({ path: DIRECTORY }),
    diskType: 'file',
    clear: (rig) => rig.exec(`rm -rf ${DIRECTORY}`),
  },
  {
    type: 'NFS',
    prepare: async ({ serverAddress, nfsExports }) => {
      const exportPath = `/pool6/${randomUUID()}`
      await mkdir(`${nfsExports}${exportPath}`, { mode: 0o711 })
      return { server: serverAddress, exportPath }
    },
    diskType: 'file',
  },
  // Destroyed, the pool leaves the disk as blank as it was; wiped all the same, should a test fail.
  {
    type: 'LOCAL_LVM',
    prepare: () => Promise.resolve({ devices: [DISK] }),
    diskType: 'block',
    clear: (rig) =>
      rig.exec(
        `disk=$(readlink -f ${DISK}); for group in $(pvs --noheadings -o vg_name $disk); do vgremove -ffy $group; done; wipefs --all --quiet $disk`,
      ),
  },
  // Destroyed, the pool leaves its data to the next host.
  {
    type: 'ISCSI',
    prepare: ({ serverAddress }) => Promise.resolve({ portal: serverAddress, target: TARGET.name, lun: TARGET.lun }),
    diskType: 'block',
    clear: async ({ directory }) => {
      const lun = path.join(directory, 'iscsi', TARGET.file)
      const { size } = await stat(lun)
      await truncate(lun, 0)
      await truncate(lun, size)
    },
  },
  {
    type: 'CEPH_FS',
    // A directory of its own: the pool leaves its marker to the other hosts.
    prepare: async (rig, { monitors, keyring, keyOf }) => {
      const directory = `/${randomUUID()}`
      const secret = '/root/vm-disks.secret'
      await rig.write(secret, await keyOf('fs'), '0600')
      await rig.exec(
        `d=$(mktemp -d); mount -t ceph -o name=fs,secretfile=${secret} ${rig.serverAddress}:/ $d && mkdir $d${directory} && umount $d && rmdir $d; rm ${secret}`,
      )
      return { monitors, user: 'fs', keyringPath: await keyring('fs'), path: directory }
    },
    diskType: 'file',
  },
  {
    type: 'CEPH_RBD',
    prepare: async (_, { monitors, keyring }) => {
      const keyringPath = await keyring('vms')
      return { monitors, poolName: 'rbd', user: 'vms', keyringPath }
    },
    diskType: 'network',
  },
]

describe.skipIf(await requirePrerequisite('rig', missingRig))('a VM on a pool of type', () => {
  const rig = useRig()
  const ceph = useCeph(rig)
  let image: string
  beforeAll(async () => {
    image = await bootImageOnRig(rig)
  })
  afterAll(() => rig.exec(`rm -f ${image}`))

  test.each(ROWS)(
    '$type boots from an image outside of it, and leaves nothing',
    async (row) => {
      const poolId = randomUUID()
      try {
        const body = { poolId, type: row.type, options: await row.prepare(rig, ceph) }
        expect(await rig.http('POST', '/api/v1/storage/pools', body)).toMatchObject({ status: 200 })
        const volumes = async () => (await rig.http('GET', `/api/v1/storage/pools/${poolId}`)).body['volumeCount']
        const before = await volumes()
        const vm = await bootVmOnPool(rig, poolId, image)
        expect(vm.diskType).toBe(row.diskType)
        await expect(rig.node.call('DestroyStoragePool', { poolId })).rejects.toThrow(vm.vmId)
        await vm.delete()
        if (row.diskType !== 'network') expect((await rig.tryExec(`stat '${vm.source}'`)).code).toBe(1)
        await expect.poll(volumes, { timeout: 60_000, interval: 1_000 }).toBe(before)
      } finally {
        await rig.node.call('DestroyStoragePool', { poolId })
        await row.clear?.(rig)
      }
    },
    400_000,
  )
})
