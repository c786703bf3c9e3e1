import { expect, test } from 'vitest'
import { forbiddenPoolPath } from '../../../src/storage/pool-path.ts'

const reserved = ['/var/lib/limiquantix/state']

test.each([
  '/',
  '/etc',
  '/etc/pool',
  '/proc/1',
  '/sys/x',
  '/dev/shm/pool',
  '/run/pool',
  '/usr/local/pool',
  '/boot/efi',
  '/var',
  '/var/lib',
  '/home',
  '/mnt',
  '/srv',
  '/var/lib/limiquantix',
  '/var/lib/limiquantix/state',
  '/var/lib/limiquantix/state/pools',
])('%s cannot be a pool', (path) => {
  expect(forbiddenPoolPath(path, reserved)).toBeTypeOf('string')
})

test.each(['/srv/pool', '/data/pool', '/var/lib/limiquantix/images/p1', '/mnt/disk1', '/home/vm/pool', '/etcetera'])(
  '%s can be a pool',
  (path) => {
    expect(forbiddenPoolPath(path, reserved)).toBeUndefined()
  },
)
