import { describe, expect, it } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { parseDimms, readDimms } from '../../../src/host/dimms.ts'
import { readDisk } from '../../../src/host/disks.ts'
import { readBlockDevices } from '../../../src/host/block-devices.ts'
import { readGpus } from '../../../src/host/gpus.ts'
import { createHardware } from '../../../src/host/hardware.ts'
import { createInventory } from '../../../src/host/inventory.ts'
import { iscsiDiskNames, nfsMounts, readIscsiLuns } from '../../../src/host/network-storage.ts'
import { createSmartWatch, parseSmart } from '../../../src/host/smart.ts'
import { parseMountInfo } from '../../../src/platform/mounts.ts'
import { withTree } from './tree.ts'

// A structure of a SMBIOS table: type, length, handle, the bytes from 4 on, two strings.
function structure(type: number, length: number, values: Readonly<Record<number, number>>): Buffer {
  const data = Buffer.alloc(length)
  data[0] = type
  data[1] = length
  for (const [at, value] of Object.entries(values)) data[Number(at)] = value
  return Buffer.concat([data, Buffer.from('DIMM 0\0BANK 0\0\0')])
}

describe('memory modules', () => {
  const dimm = (sizeMib: number) => structure(17, 0x28, { 0x0c: sizeMib & 0xff, 0x0d: sizeMib >> 8 })
  const table = (ecc: number) =>
    Buffer.concat([structure(0, 0x18, {}), structure(16, 0x17, { 5: 3, 6: ecc }), dimm(0x4000), dimm(0), dimm(0x7fff)])

  it('are counted where they have a size, and known to correct errors', () => {
    expect(parseDimms(table(6))).toEqual({ dimmCount: 2, eccEnabled: true })
    expect(parseDimms(table(3))).toEqual({ dimmCount: 2, eccEnabled: false })
  })

  it('of a table that is cut off or nonsense are those that can be read', () => {
    for (let end = 0; end <= table(6).length; end++) {
      expect(parseDimms(table(6).subarray(0, end)).dimmCount).toBeLessThanOrEqual(2)
    }
    expect(parseDimms(Buffer.alloc(100))).toEqual({ dimmCount: 0, eccEnabled: false })
  })

  it('are 0 where the kernel has no table', async () => {
    expect(await readDimms('/nonexistent')).toEqual({ dimmCount: 0, eccEnabled: false })
  })
})

describe('disks', () => {
  it('are told with interface, partitions, mount points and use', async () => {
    const at = 'sys/devices/pci0000:00/0000:00:17.0/ata3/host2/target2:0:0/2:0:0:0/block/sda'
    await withTree(
      {
        'sys/block/sda': `-> ${at}`,
        [`${at}/size`]: '2000',
        [`${at}/dev`]: '8:0',
        [`${at}/removable`]: '0',
        [`${at}/queue/rotational`]: '0',
        [`${at}/sda1/partition`]: '1',
        [`${at}/sda1/size`]: '800',
        [`${at}/sda1/dev`]: '8:1',
        [`${at}/sda2/partition`]: '2',
        [`${at}/sda2/size`]: '1000',
        [`${at}/sda2/dev`]: '8:2',
        [`${at}/queue/scheduler`]: 'none',
        'udev/b8:2': 'S:x\nE:ID_FS_TYPE=LVM2_member\nE:ID_FS_USAGE=raid\n',
      },
      async (root) => {
        const [device] = await readBlockDevices(`${root}/sys`)
        const disk = await readDisk(device!, {
          sys: `${root}/sys`,
          udev: `${root}/udev`,
          mounts: parseMountInfo('24 1 8:1 / / rw - ext4 /dev/sda1 rw\n25 1 8:1 /srv /srv rw - ext4 /dev/sda1 rw\n'),
          filesystems: [
            {
              device: '/dev/sda1',
              mountPoint: '/',
              filesystem: 'ext4',
              totalBytes: 9,
              usedBytes: 4,
              availableBytes: 5,
            },
          ],
          smart: () => 'PASSED',
        })
        expect(disk).toMatchObject({ name: 'sda', interface: 'sata', type: 'SSD', smartStatus: 'PASSED' })
        expect(disk.partitions).toEqual([
          { name: 'sda1', mountPoint: '/', filesystem: 'ext4', sizeBytes: 800 * 512, usedBytes: 4 },
          { name: 'sda2', mountPoint: '', filesystem: 'LVM2_member', sizeBytes: 1000 * 512, usedBytes: 0 },
        ])
      },
    )
  })

  it('without partitions are told with the file system they have as a whole', async () => {
    const at = 'sys/devices/pci0000:00/0000:01:00.0/nvme/nvme0/nvme0n1'
    await withTree(
      {
        'sys/block/nvme0n1': `-> ${at}`,
        [`${at}/size`]: '2000',
        [`${at}/dev`]: '259:0',
        'udev/b259:0': 'E:ID_FS_TYPE=ceph_bluestore\n',
      },
      async (root) => {
        const [device] = await readBlockDevices(`${root}/sys`)
        const context = { sys: `${root}/sys`, udev: `${root}/udev`, mounts: [], filesystems: [] }
        const disk = await readDisk(device!, { ...context, smart: () => 'UNKNOWN' as const })
        expect(disk).toMatchObject({ interface: 'nvme', type: 'NVME' })
        expect(disk.partitions).toMatchObject([{ name: 'nvme0n1', filesystem: 'ceph_bluestore', sizeBytes: 1_024_000 }])
      },
    )
  })
})

describe('the health of disks', () => {
  it('is what smartctl says, also when its exit code tells of findings', () => {
    expect(parseSmart('{"smart_status": {"passed": true}}')).toBe('PASSED')
    expect(parseSmart('{"smart_status": {"passed": false, "nvme": {}}}')).toBe('FAILED')
    expect(parseSmart('{"smartctl": {"exit_status": 2}}')).toBeUndefined()
    expect(parseSmart('smartctl: bad')).toBeUndefined()
  })

  it('is asked for in the background, and UNKNOWN where the tool is not installed', async () => {
    const watch = createSmartWatch(silentLogger, '/nonexistent/smartctl')
    expect(watch.status('/dev/sda')).toBe('UNKNOWN')
    await watch.settled()
    expect(watch.status('/dev/sda')).toBe('UNKNOWN')
  })

  it('comes with the next question', async () => {
    await withTree(
      { smartctl: '#!/bin/sh\necho "{\\"smart_status\\": {\\"passed\\": false}}"\nexit 8\n' },
      async (root) => {
        await import('node:fs/promises').then((fs) => fs.chmod(`${root}/smartctl`, 0o755))
        const watch = createSmartWatch(silentLogger, `${root}/smartctl`)
        expect(watch.status('/dev/sda')).toBe('UNKNOWN')
        await watch.settled()
        expect(watch.status('/dev/sda')).toBe('FAILED')
      },
    )
  })
})

describe('storage of servers', () => {
  it('is told from mountinfo alone', () => {
    const mounts = parseMountInfo(
      [
        '30 1 0:50 / /mnt/a rw - nfs4 nas.example:/vol/a rw',
        '31 1 0:51 / /mnt/b\\040c rw - nfs [2001:db8::1]:/b rw',
        '32 1 8:1 / / rw - ext4 /dev/sda1 rw',
      ].join('\n'),
    )
    expect(nfsMounts(mounts)).toEqual([
      { mountPoint: '/mnt/a', server: 'nas.example', exportPath: '/vol/a' },
      { mountPoint: '/mnt/b c', server: '2001:db8::1', exportPath: '/b' },
    ])
  })

  it('has one entry per LUN of an iSCSI session, and one for a session without a disk', async () => {
    const device = 'sys/devices/platform/host3/session1'
    await withTree(
      {
        'sys/class/iscsi_session/session1/targetname': 'iqn.2024-01.example:a',
        'sys/class/iscsi_session/session1/device': `-> ${device}`,
        'sys/class/iscsi_connection/connection1:0/persistent_address': '192.0.2.5',
        'sys/class/iscsi_connection/connection1:0/persistent_port': '3260',
        [`${device}/target3:0:0/3:0:0:1/block/sdb/size`]: '4096',
        'sys/block/sdb': `-> ${device}/target3:0:0/3:0:0:1/block/sdb`,
        'sys/block/vda/size': '1',
        'sys/class/iscsi_session/session2/targetname': 'iqn.2024-01.example:b',
        'sys/class/iscsi_connection/connection2:0/persistent_address': '2001:db8::5',
      },
      async (root) => {
        expect(await readIscsiLuns(`${root}/sys`)).toEqual([
          {
            targetIqn: 'iqn.2024-01.example:a',
            portal: '192.0.2.5:3260',
            devicePath: '/dev/sdb',
            sizeBytes: 4096 * 512,
            lun: 1,
          },
          { targetIqn: 'iqn.2024-01.example:b', portal: '[2001:db8::5]:3260', devicePath: '', sizeBytes: 0, lun: 0 },
        ])
        expect(await iscsiDiskNames(`${root}/sys`)).toEqual(new Set(['sdb']))
      },
    )
  })
})

describe('GPUs', () => {
  it('are the display controllers of the PCI bus', async () => {
    const gpu = 'sys/bus/pci/devices/0000:41:00.0'
    await withTree(
      {
        [`${gpu}/class`]: '0x030200',
        [`${gpu}/vendor`]: '0x10de',
        [`${gpu}/device`]: '0x20b5',
        'sys/bus/pci/drivers/vfio-pci/bind': '',
        [`${gpu}/driver`]: '-> sys/bus/pci/drivers/vfio-pci',
        'sys/kernel/iommu_groups/7/type': 'DMA',
        [`${gpu}/iommu_group`]: '-> sys/kernel/iommu_groups/7',
        [`${gpu}/mdev_supported_types/nvidia-1/name`]: 'GRID A100-4C',
        'sys/bus/pci/devices/0000:00:1f.0/class': '0x060100',
      },
      async (root) => {
        expect(await readGpus(`${root}/sys`)).toEqual([
          {
            name: 'NVIDIA 20b5',
            vendor: 'NVIDIA',
            pciAddress: '0000:41:00.0',
            driver: 'vfio-pci',
            memoryBytes: 0,
            vgpuProfiles: ['GRID A100-4C'],
            passthroughCapable: true,
          },
        ])
      },
    )
  })
})

describe('the hardware of this host', () => {
  it('can be read whole, once for callers at the same time', async () => {
    const never = new AbortController().signal
    const details = await createInventory().read(never)
    const hardware = createHardware({ status: () => 'UNKNOWN' })
    const [first, second] = await Promise.all([hardware.read(details, never), hardware.read(details, never)])
    expect(second).toBe(first)
    expect(first.adapters.map(({ name }) => name)).toEqual(details.nics.map(({ name }) => name))
    expect(first.disks.length + first.iscsi.length).toBeGreaterThanOrEqual(details.blockDevices.length)
  })
})
