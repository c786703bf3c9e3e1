import { describe, expect, it } from 'vitest'
import { isLocalBlockDevice, readBlockDevices } from '../../../src/host/block-devices.ts'
import { readNics } from '../../../src/host/nics.ts'
import { withTree } from './tree.ts'

describe('readNics', () => {
  it('tells physical, bonded and bridged interfaces and leaves out loopback, taps and idle virtual ones', async () => {
    const net = 'sys/class/net'
    await withTree(
      {
        [`${net}/lo/type`]: '772',
        [`${net}/lo/address`]: '00:00:00:00:00:00',
        [`${net}/eno1/type`]: '1',
        [`${net}/eno1/address`]: '52:54:00:00:00:01\n',
        [`${net}/eno1/speed`]: '10000\n',
        [`${net}/eno1/mtu`]: '9000\n',
        [`${net}/eno1/operstate`]: 'up\n',
        [`${net}/eno1/device/numa_node`]: '1\n',
        [`${net}/eno1/device/sriov_totalvfs`]: '64\n',
        [`${net}/eno1/device/sriov_numvfs`]: '4\n',
        'sys/bus/pci/drivers/ixgbe/bind': '',
        [`${net}/eno1/device/driver`]: '-> sys/bus/pci/drivers/ixgbe',
        [`${net}/eno2/address`]: '52:54:00:00:00:02\n',
        [`${net}/eno2/speed`]: '-1\n',
        [`${net}/eno2/operstate`]: 'down\n',
        [`${net}/eno2/device/numa_node`]: '-1\n',
        [`${net}/br0/address`]: '52:54:00:00:00:03\n',
        [`${net}/br0/bridge/stp_state`]: '0',
        [`${net}/br0/operstate`]: 'unknown\n',
        [`${net}/br0/carrier`]: '1\n',
        [`${net}/bond0.7/address`]: '52:54:00:00:00:04\n',
        [`${net}/bond0.7/uevent`]: 'DEVTYPE=vlan\nINTERFACE=bond0.7\n',
        [`${net}/vnet3/address`]: 'fe:54:00:00:00:05\n',
        [`${net}/vnet3/tun_flags`]: '0x5002\n',
        [`${net}/ifb0/address`]: 'da:f9:f6:fa:03:cb\n',
        [`${net}/bonding_masters`]: 'bond0\n',
      },
      async (root) => {
        const address = {
          address: '192.0.2.1',
          family: 'IPv4',
          internal: false,
          netmask: '',
          mac: '',
          cidr: null,
        } as const
        const nics = await readNics(`${root}/sys`, { br0: [address] })
        expect(nics.map((nic) => nic.name)).toEqual(['bond0.7', 'br0', 'eno1', 'eno2'])
        expect(nics[2]).toEqual({
          name: 'eno1',
          macAddress: '52:54:00:00:00:01',
          ipAddresses: [],
          speedMbps: 10_000,
          up: true,
          driver: 'ixgbe',
          mtu: 9000,
          physical: true,
          numaNode: 1,
          sriovVfsTotal: 64,
          sriovVfsUsed: 4,
        })
        expect(nics[3]).toMatchObject({ speedMbps: 0, up: false, driver: '', numaNode: undefined, sriovVfsTotal: 0 })
        expect(nics[1]).toMatchObject({ up: true, physical: false, ipAddresses: ['192.0.2.1'] })
      },
    )
  })
})

describe('readBlockDevices', () => {
  it('tells disks with a medium', async () => {
    await withTree(
      {
        'sys/block/nvme0n1/size': '2000409264',
        'sys/block/nvme0n1/queue/rotational': '0',
        'sys/block/nvme0n1/device/model': 'SAMSUNG MZQL2960HCJR-00A07  \n',
        'sys/block/nvme0n1/device/serial': 'S64FNE0R1\n',
        'sys/block/sda/size': '3907029168',
        'sys/block/sda/queue/rotational': '1',
        'sys/block/sda/device/vendor': 'SEAGATE \n',
        'sys/block/sda/device/model': 'ST2000NX0433',
        'sys/block/sda/device/vpd_pg80': '\u0000\u0080\u0000\u0008 W46012AB',
        'sys/block/sdb/size': '250069680',
        'sys/block/sdb/queue/rotational': '0',
        'sys/block/sdb/device/vendor': 'ATA\n',
        'sys/block/sdb/device/model': 'INTEL SSDSC2BB12',
        'sys/block/vda/size': '41943040',
        'sys/block/vda/queue/rotational': '1',
        'sys/block/vda/device/vendor': '0x1af4',
        'sys/block/vda/serial': 'disk-7\n',
        'sys/block/cciss!c0d0/size': '8',
        'sys/block/sdz/size': '0',
        'sys/block/loop0/size': '8',
        'sys/block/dm-0/size': '8',
        'sys/block/md127/size': '8',
        'sys/block/rbd0/size': '8',
        'sys/block/zram0/size': '8',
        'sys/block/sr0/size': '8',
      },
      async (root) => {
        const devices = await readBlockDevices(`${root}/sys`)
        expect(devices.map((d) => [d.path, d.type, d.sizeBytes, d.model, d.serial])).toEqual([
          ['/dev/cciss/c0d0', 'SSD', 4096, '', ''],
          ['/dev/nvme0n1', 'NVME', 2000409264 * 512, 'SAMSUNG MZQL2960HCJR-00A07', 'S64FNE0R1'],
          ['/dev/sda', 'HDD', 3907029168 * 512, 'SEAGATE ST2000NX0433', 'W46012AB'],
          ['/dev/sdb', 'SSD', 250069680 * 512, 'INTEL SSDSC2BB12', ''],
          ['/dev/vda', 'HDD', 41943040 * 512, '', 'disk-7'],
        ])
      },
    )
  })
})

describe('isLocalBlockDevice', () => {
  const device = (name: string, directory: string) => ({
    [`sys/devices/${directory}/size`]: '8',
    [`sys/class/block/${name}`]: `-> sys/devices/${directory}`,
  })
  const tree = {
    ...device('sda', 'pci0000:00/ata1/host0/target0:0:0/0:0:0:0/block/sda'),
    ...device('sda1', 'pci0000:00/ata1/host0/target0:0:0/0:0:0:0/block/sda/sda1'),
    'sys/devices/pci0000:00/ata1/host0/target0:0:0/0:0:0:0/block/sda/sda1/partition': '1',
    ...device('sdi', 'platform/host3/session1/target3:0:0/3:0:0:1/block/sdi'),
    ...device('sdi1', 'platform/host3/session1/target3:0:0/3:0:0:1/block/sdi/sdi1'),
    ...device('sdf', 'pci0000:80/host9/rport-9:0-1/target9:0:1/9:0:1:0/block/sdf'),
    ...device('loop0', 'virtual/block/loop0'),
    ...device('rbd0', 'rbd/0/block/rbd0'),
    ...device('nbd0', 'virtual/block/nbd0'),
    ...device('dm-0', 'virtual/block/dm-0'),
    'sys/devices/virtual/block/dm-0/slaves/sda1': '',
    ...device('dm-1', 'virtual/block/dm-1'),
    'sys/devices/virtual/block/dm-1/slaves/sda1': '',
    'sys/devices/virtual/block/dm-1/slaves/sdi': '',
    ...device('nvme0n1', 'pci0000:00/0000:01:00.0/nvme/nvme0/nvme0n1'),
    'sys/class/nvme/nvme0/transport': 'pcie\n',
    ...device('nvme1n1', 'virtual/nvme-subsystem/nvme-subsys1/nvme1n1'),
    'sys/devices/virtual/nvme-subsystem/nvme-subsys1/nvme0/state': 'live',
    ...device('nvme2n1', 'virtual/nvme-subsystem/nvme-subsys2/nvme2n1'),
    'sys/devices/virtual/nvme-subsystem/nvme-subsys2/nvme2/state': 'live',
    'sys/class/nvme/nvme2/transport': 'tcp\n',
  }

  it('sees a network or another file anywhere below a device', async () => {
    const expected: Record<string, boolean> = {
      sda: true,
      sda1: true,
      'dm-0': true,
      nvme0n1: true,
      nvme1n1: true,
      sdi: false,
      sdi1: false,
      sdf: false,
      'dm-1': false,
      nvme2n1: false,
      loop0: false,
      rbd0: false,
      nbd0: false,
      gone: false,
    }
    await withTree(tree, async (root) => {
      for (const [name, local] of Object.entries(expected)) {
        expect(await isLocalBlockDevice(`${root}/sys`, name), name).toBe(local)
      }
    })
  })
})
