import { guestProfile } from '../../../src/domains/guest-profiles.ts'
import { describe, expect, test } from 'vitest'
import { diskIoFor } from '../../../src/domains/disk-io.ts'
import { supportsKvm } from '../../../src/domains/domain-type.ts'
import { eventOfChange, lifecycleMeaning } from '../../../src/domains/lifecycle-events.ts'
import { powerState } from '../../../src/domains/libvirt-domain.ts'
import { nicTarget } from '../../../src/domains/networks.ts'
import { parseMountInfo } from '../../../src/platform/mounts.ts'
import { rbd } from './definitions.ts'

describe('where a NIC goes', () => {
  const uuid = '6f0c1a52-0d0e-4a51-9a44-1f6a2a7c9b10'
  test.each([
    [{ bridge: '', network: '' }, {}, { type: 'network', network: 'default' }],
    [{ bridge: '', network: uuid }, {}, { type: 'network', network: 'default' }],
    [{ bridge: '', network: 'net-abc' }, {}, { type: 'network', network: 'default' }],
    [{ bridge: '', network: 'dmz' }, {}, { type: 'network', network: 'dmz' }],
    [{ bridge: 'br0', network: 'dmz' }, {}, { type: 'bridge', bridge: 'br0' }],
    [{ bridge: '', network: uuid }, { default: 'user' }, { type: 'user' }],
    [
      { bridge: '', network: uuid },
      { [uuid]: 'bridge:br7', default: 'user' },
      { type: 'bridge', bridge: 'br7' },
    ],
    [{ bridge: '', network: 'dmz' }, { dmz: 'ovs:br-int' }, { type: 'ovs', bridge: 'br-int' }],
    [{ bridge: '', network: 'dmz' }, { dmz: 'ovs:br-int:7' }, { type: 'ovs', bridge: 'br-int', vlan: 7 }],
    [{ bridge: '', network: 'dmz' }, { dmz: 'network:inner' }, { type: 'network', network: 'inner' }],
    [{ bridge: '', network: 'constructor' }, {}, { type: 'network', network: 'constructor' }],
  ])('%j with the map %j: %j', (nic, map, target) => {
    expect(nicTarget(nic, map)).toEqual(target)
  })
})

describe('how a disk is opened', () => {
  const mounts = parseMountInfo(
    [
      '1 0 8:1 / / rw - ext4 /dev/sda1 rw',
      '2 1 0:5 / /tmp rw - tmpfs tmpfs rw',
      '3 1 0:6 / /nfs rw - nfs4 s:/x rw',
    ].join('\n'),
  )
  test.each([
    ['/pools/a.qcow2', 'none'],
    ['/nfs/a.qcow2', 'none'],
    ['/tmp/a.qcow2', 'writeback'],
    ['/tmpfoo/a.qcow2', 'none'],
  ])('file %s: cache %s', (path, cache) => {
    const direct = { cache, io: 'native', iothread: true }
    expect(diskIoFor({ type: 'file', path, format: 'qcow2' }, mounts)).toEqual(
      cache === 'none' ? direct : { cache, io: 'threads' },
    )
  })

  test('a device: past the page cache', () => {
    const device = { type: 'block', device: '/dev/vg/lv', format: 'raw' } as const
    expect(diskIoFor(device, mounts)).toEqual({ cache: 'none', io: 'native', iothread: true })
  })

  test('a Ceph image: with the cache of librbd, which does its own I/O', () => {
    expect(diskIoFor(rbd(), mounts)).toEqual({ cache: 'writeback', iothread: true })
  })

  test('a file system that nobody knows is taken to have no O_DIRECT', () => {
    const file = { type: 'file', path: '/x', format: 'raw' } as const
    expect(diskIoFor(file, [])).toEqual({ cache: 'writeback', io: 'threads' })
  })
})

test('KVM is used only when libvirt offers it for x86_64', () => {
  const guest = (arch: string, type: string) =>
    `<capabilities><guest><os_type>hvm</os_type><arch name='${arch}'><domain type='qemu'/><domain type='${type}'/></arch></guest></capabilities>`
  expect(supportsKvm(guest('x86_64', 'kvm'))).toBe(true)
  expect(supportsKvm(guest('x86_64', 'qemu'))).toBe(false)
  expect(supportsKvm(guest('i686', 'kvm'))).toBe(false)
})

describe('states and events', () => {
  test('a guest whose QEMU died is crashed; shutting down is still running', () => {
    expect(powerState(5, 3)).toBe('CRASHED')
    expect(powerState(5, 1)).toBe('STOPPED')
    expect(powerState(4, 0)).toBe('RUNNING')
    expect(powerState(99, 0)).toBe('UNKNOWN')
    expect(lifecycleMeaning(5, 2)).toMatchObject({ state: 'CRASHED', type: 'VM_CRASHED' })
    expect(lifecycleMeaning(5, 0)).toMatchObject({ state: 'STOPPED', type: 'VM_STOPPED' })
    expect(lifecycleMeaning(0, 0).type).toBeUndefined()
  })

  test('a change found later is told as the event that was missed', () => {
    expect(eventOfChange('RUNNING', 'STOPPED')).toBe('VM_STOPPED')
    expect(eventOfChange('STOPPED', 'RUNNING')).toBe('VM_STARTED')
    expect(eventOfChange('PAUSED', 'RUNNING')).toBe('VM_RESUMED')
    expect(eventOfChange('CRASHED', 'STOPPED')).toBeUndefined()
    expect(eventOfChange('RUNNING', 'RUNNING')).toBeUndefined()
  })
})

test.each(['constructor', 'toString', '__proto__', ''])(
  'a guest system %j that nobody knows is taken for Linux',
  (name) => {
    expect(guestProfile(name)).toBe(guestProfile('debian'))
  },
)
