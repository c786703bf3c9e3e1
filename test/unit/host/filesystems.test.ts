import { describe, expect, it } from 'vitest'
import { findLocalMounts, planMounts, readFilesystems } from '../../../src/host/filesystems.ts'
import { parseMountInfo, readMounts, type MountEntry } from '../../../src/platform/mounts.ts'
import { withTree } from './tree.ts'

const MOUNTINFO = `22 1 8:2 / / rw,relatime - ext4 /dev/sda2 rw
23 22 0:21 / /proc rw - proc proc rw
24 22 0:22 / /run rw - tmpfs tmpfs rw
25 22 8:1 / /boot/efi rw - vfat /dev/sda1 rw
26 22 253:0 / /srv rw - xfs /dev/mapper/vg-srv rw
27 22 8:2 /var/lib/x /mnt/bound rw - ext4 /dev/sda2 rw
28 22 0:50 / /mnt/nfs rw - nfs4 10.0.0.1:/export rw,hard
29 28 8:1 / /mnt/nfs/inner rw - ext4 /dev/sdb1 rw
30 22 8:33 / /data rw - ext4 /dev/sdc1 rw
31 30 0:51 / /data rw - nfs 10.0.0.1:/over rw
32 22 0:52 / /mnt/ceph rw - ceph 10.0.0.1:/ rw
33 22 0:53 / /mnt/sshfs rw - fuse.sshfs host:/ rw
34 22 0:54 / /tmp rw - tmpfs tmpfs rw
35 22 8:49 / /mnt/iscsi rw - ext4 /dev/sdd1 rw
36 22 8:65 / /mnt/nfs-child rw - ext4 /dev/sde1 rw
37 22 7:0 / /snap rw - squashfs /dev/loop0 ro
38 28 8:81 / /mnt/nfs/deep/x rw - ext4 /dev/sdf1 rw
`

describe('planMounts', () => {
  const mounts = parseMountInfo(MOUNTINFO)
  // Local: everything but the network file systems and the iSCSI disk.
  const isLocal = (mount: MountEntry) => !/^(nfs4?|ceph|fuse)/.test(mount.fsType) && mount.source !== '/dev/sdd1'

  it('asks only where no server can hold up the answer', () => {
    const plans = planMounts(mounts, isLocal)
    expect(plans.map(({ mount, ask }) => [mount.mountPoint, ask])).toEqual([
      ['/', true],
      ['/boot/efi', true],
      ['/srv', true],
      ['/mnt/nfs', false],
      // Covered by an NFS mount: only that one is to be seen.
      ['/data', false],
      ['/mnt/ceph', false],
      ['/mnt/sshfs', false],
      ['/tmp', true],
      ['/mnt/iscsi', false],
      ['/mnt/nfs-child', true],
      // Local, but the way there leads through NFS.
      ['/mnt/nfs/deep/x', false],
    ])
    expect(plans.find(({ mount }) => mount.mountPoint === '/data')?.mount.fsType).toBe('nfs')
  })
})

describe('findLocalMounts', () => {
  it('follows a mount to its device', async () => {
    const device = (number: string, name: string, directory: string) => ({
      [`sys/devices/${directory}/size`]: '8',
      [`sys/class/block/${name}`]: `-> sys/devices/${directory}`,
      [`sys/dev/block/${number}`]: `-> sys/devices/${directory}`,
    })
    await withTree(
      {
        ...device('8:2', 'sda2', 'pci0000:00/ata1/block/sda2'),
        ...device('8:49', 'sdd1', 'platform/host3/session1/block/sdd1'),
      },
      async (root) => {
        const local = await findLocalMounts(parseMountInfo(MOUNTINFO), `${root}/sys`)
        expect([...new Set([...local].map((mount) => mount.mountPoint))]).toEqual([
          '/',
          '/proc',
          '/run',
          '/mnt/bound',
          '/tmp',
        ])
      },
    )
  })
})

describe('readFilesystems', () => {
  it('has no numbers for what it must not ask', async () => {
    const nfs = parseMountInfo('28 22 0:50 / /mnt/nfs rw - nfs4 10.0.0.1:/export rw\n')
    expect(await readFilesystems(nfs, '/sys')).toEqual([
      {
        device: '10.0.0.1:/export',
        mountPoint: '/mnt/nfs',
        filesystem: 'nfs4',
        totalBytes: 0,
        usedBytes: 0,
        availableBytes: 0,
      },
    ])
  })

  it('adds up on this host', async () => {
    for (const fs of await readFilesystems(await readMounts(), '/sys')) {
      expect(fs.usedBytes + fs.availableBytes, fs.mountPoint).toBeLessThanOrEqual(fs.totalBytes)
    }
  })
})
