import { describe, expect, test } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { diskIoFor } from '../../../src/domains/disk-io.ts'
import { supportsKvm } from '../../../src/domains/domain-type.ts'
import { EventStream } from '../../../src/domains/event-stream.ts'
import { eventOfChange, lifecycleMeaning } from '../../../src/domains/lifecycle-events.ts'
import { powerState } from '../../../src/domains/libvirt-domain.ts'
import { nicTarget } from '../../../src/domains/networks.ts'
import { parseMountInfo } from '../../../src/platform/mounts.ts'

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
    ['/dev/vg/lv', 'none'],
    ['/tmp/a.qcow2', 'writeback'],
    ['/tmpfoo/a.qcow2', 'none'],
  ])('%s: cache %s', (path, cache) => {
    expect(diskIoFor(path, mounts)).toEqual({ cache, io: cache === 'none' ? 'native' : 'threads' })
  })

  test('a file system that nobody knows is taken to have no O_DIRECT', () => {
    expect(diskIoFor('/x', [])).toEqual({ cache: 'writeback', io: 'threads' })
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

describe('event stream', () => {
  test('each reader gets what comes after it subscribed, until its signal fires', async () => {
    const stream = new EventStream<number>(silentLogger)
    const end = new AbortController()
    stream.publish(1)
    const events = stream.subscribe(end.signal)
    stream.publish(2)
    stream.publish(3)
    const seen: number[] = []
    for await (const value of events) {
      seen.push(value)
      if (value === 3) queueMicrotask(() => stream.publish(4))
      if (value === 4) end.abort()
    }
    stream.publish(5)
    expect(seen).toEqual([2, 3, 4])
  })

  test('a reader that is too slow loses the oldest events, not the newest', async () => {
    const stream = new EventStream<number>(silentLogger)
    const end = new AbortController()
    const events = stream.subscribe(end.signal)
    for (let value = 1; value <= 1500; value++) stream.publish(value)
    end.abort()
    const seen: number[] = []
    for await (const value of events) seen.push(value)
    expect(seen).toHaveLength(1000)
    expect(seen.at(-1)).toBe(1500)
  })
})
