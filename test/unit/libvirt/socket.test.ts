import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { resolveAddress } from '../../../src/libvirt/socket.ts'

let modular: string
const monolithic = '/nonexistent/libvirt'

beforeAll(async () => {
  modular = await mkdtemp(join(tmpdir(), 'lqx-sock-'))
  await writeFile(join(modular, 'virtqemud-sock'), '')
})

afterAll(() => rm(modular, { recursive: true }))

describe('resolveAddress', () => {
  test.each([
    ['qemu:///system', {}, { socketPath: '/nonexistent/libvirt/libvirt-sock', driverUri: 'qemu:///system' }],
    ['test:///default', {}, { socketPath: '/nonexistent/libvirt/libvirt-sock', driverUri: 'test:///default' }],
    ['qemu+unix:///system?socket=/a/b', {}, { socketPath: '/a/b', driverUri: 'qemu:///system' }],
    ['qemu+unix:///system?socket=/a/b&x=1', {}, { socketPath: '/a/b', driverUri: 'qemu:///system?x=1' }],
    ['qemu+unix:///system?socket=/a/b', { socketPath: '/c' }, { socketPath: '/a/b', driverUri: 'qemu:///system' }],
    [
      'qemu:///system',
      { socketPath: '/c', env: { LIBVIRT_SOCK: '/d' } },
      { socketPath: '/c', driverUri: 'qemu:///system' },
    ],
    ['qemu:///system', { env: { LIBVIRT_SOCK: '/d' } }, { socketPath: '/d', driverUri: 'qemu:///system' }],
    [
      'qemu:///session',
      { env: { XDG_RUNTIME_DIR: '/run/user/7' } },
      { socketPath: '/run/user/7/libvirt/libvirt-sock', driverUri: 'qemu:///session' },
    ],
  ])('%s with %j', async (uri, options, expected) => {
    expect(await resolveAddress(uri, { env: {}, systemDirectory: monolithic, ...options })).toEqual(expected)
  })

  test("the driver's own daemon is preferred where it is installed, for that driver only", async () => {
    const options = { env: {}, systemDirectory: modular }
    expect((await resolveAddress('qemu:///system', options)).socketPath).toBe(join(modular, 'virtqemud-sock'))
    expect((await resolveAddress('test:///default', options)).socketPath).toBe(join(modular, 'libvirt-sock'))
  })

  test.each(['qemu+ssh://host/system', 'qemu+tls:///system', 'qemu://host/system', '/run/libvirt/libvirt-sock', ''])(
    '%j is refused',
    async (uri) => {
      await expect(resolveAddress(uri, { env: {} })).rejects.toMatchObject({ reason: 'CONFIG_INVALID' })
    },
  )
})
