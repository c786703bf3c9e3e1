import { describe, expect, test } from 'vitest'
import type { MountEntry } from '../../../src/platform/mounts.ts'
import { parseCephClient } from '../../../src/storage/ceph-client.ts'
import {
  cephFsMismatch,
  cephFsMountFailure,
  cephFsOptions,
  cephFsSource,
  isUnclearFailure,
  judgeFsMap,
  parseFileSystem,
  splitCephFsSource,
  type CephFsMount,
} from '../../../src/storage/mount-cephfs.ts'

const LAGGY = 'mount error: no mds server is up or the cluster is laggy'

function mountOf(change: Partial<CephFsMount> = {}, monitors = ['10.0.0.1', '10.0.0.2']): CephFsMount {
  return {
    client: parseCephClient({ monitors, user: 'fs', keyringPath: '' }),
    fileSystem: '',
    path: '/',
    ...change,
  }
}

/** As the kernel of Debian 12 shows it. */
function entryOf(change: Partial<MountEntry> = {}): MountEntry {
  return {
    ...{ mountId: 900, parentId: 1, device: '0:40', root: '/', mountPoint: '/srv/c', options: 'rw,nosuid,relatime' },
    ...{ fsType: 'ceph', source: '10.0.0.1:6789,10.0.0.2:6789:/' },
    superOptions: 'rw,name=fs,secret=<hidden>,mount_timeout=10,acl,recover_session=clean',
    ...change,
  }
}

describe('mount of a CephFS pool', () => {
  test('source and options name monitors, user and file system, and never the key', () => {
    expect(cephFsSource(mountOf({ path: '/a' }))).toBe('10.0.0.1:6789,10.0.0.2:6789:/a')
    expect(cephFsOptions(mountOf({ fileSystem: 'tank' })).join(',')).toBe(
      'name=fs,fs=tank,nosuid,nodev,noexec,mount_timeout=10,recover_session=clean',
    )
  })

  test('the second version of the protocol is spoken, to those monitors that do, when one is named by its port', () => {
    const mount = mountOf({}, ['10.0.0.1:6789', '10.0.0.1:3300', '[fd00::1]:3300'])
    expect(cephFsSource(mount)).toBe('10.0.0.1:3300,[fd00::1]:3300:/')
    expect(cephFsOptions(mount)).toContain('ms_mode=prefer-crc')
  })

  test.each(['a b', '-a', 'a,b', 'a=b', 'a/b', 'ü'])('refuses the file system %j', (name) => {
    expect(() => parseFileSystem(name)).toThrow(/^ceph\.pool_name: /)
  })

  test.each([
    ['10.0.0.1:6789:/', [['10.0.0.1', 6789]], '/'],
    [
      '10.0.0.1,10.0.0.2:3300:/a/b',
      [
        ['10.0.0.1', 6789],
        ['10.0.0.2', 3300],
      ],
      '/a/b',
    ],
    ['[fd00::1]:6789:/a:/b', [['fd00::1', 6789]], '/a:/b'],
  ])('takes %s apart', (source, monitors, path) => {
    const place = splitCephFsSource(source)
    expect(place?.monitors.map(({ host, port }) => [host, port])).toEqual(monitors)
    expect(place?.path).toBe(path)
  })

  test.each(['', '/dev/sda1', 'fs@4d2f.tank=/', 'nas:', ':/'])('%j is no source of that form', (source) => {
    expect(splitCephFsSource(source)).toBeUndefined()
  })
})

describe('a mount that is there', () => {
  test.each<[string, Partial<MountEntry>, Partial<CephFsMount>]>([
    ['the same', {}, {}],
    ['by one of the monitors', { source: '10.0.0.2:6789:/' }, {}],
    ['by a monitor without its port', { source: '10.0.0.2:/' }, {}],
    [
      'of the named file system',
      { superOptions: 'rw,name=fs,mds_namespace=tank,recover_session=clean' },
      { fileSystem: 'tank' },
    ],
  ])('is ours: %s', (_what, entry, mount) => {
    expect(cephFsMismatch(entryOf(entry), mountOf(mount))).toBeUndefined()
  })

  test('is ours by any address when a monitor has a name, which the kernel does not show: the marker decides', () => {
    expect(cephFsMismatch(entryOf({ source: '10.9.9.9:6789:/' }), mountOf({}, ['mon-a']))).toBeUndefined()
  })

  test.each<[RegExp, Partial<MountEntry>, Partial<CephFsMount>]>([
    [/not from CephFS/, { fsType: 'nfs4', source: 'nas:/' }, {}],
    [/another cluster/, { source: '10.0.0.9:6789:/' }, {}],
    [/another directory .*\/b instead of \/a/, { source: '10.0.0.1:6789:/b' }, { path: '/a' }],
    [/file system \(default\) .*not tank/, {}, { fileSystem: 'tank' }],
    [/file system tank .*not \(default\)/, { superOptions: 'rw,name=fs,mds_namespace=tank,recover_session=clean' }, {}],
    [/as client\.other, not as client\.fs/, { superOptions: 'rw,name=other,recover_session=clean' }, {}],
    [/without the option recover_session=clean/, { superOptions: 'rw,name=fs' }, {}],
    [/read-only/, { options: 'ro,relatime' }, {}],
    [/read-only/, { superOptions: 'ro,name=fs,recover_session=clean' }, {}],
  ])('is another one: %s', (text, entry, mount) => {
    expect(cephFsMismatch(entryOf(entry), mountOf(mount))).toMatch(text)
  })
})

describe('a failed mount', () => {
  test.each([
    ['failed to resolve source server name not found: mon-x (Temporary failure in name resolution)', 'SERVER_UNKNOWN'],
    ['mount error 2 = No such file or directory', 'EXPORT_MISSING'],
    ['mount error 13 = Permission denied', 'LOGIN_DENIED'],
    ['mount error 22 = Invalid argument', 'MOUNT_OPTION_REFUSED'],
    ['mount: /srv/c: wrong fs type, bad option, bad superblock', 'COMMAND_MISSING'],
  ])('%s is %s', (words, reason) => {
    expect(isUnclearFailure(words)).toBe(false)
    expect(cephFsMountFailure(words, mountOf())?.reason).toBe(reason)
  })

  const map = (filesystems: [name: string, ...states: string[]][], defaultId = 1) =>
    JSON.stringify({
      default_fscid: defaultId,
      filesystems: filesystems.map(([name, ...states], at) => ({
        id: at + 1,
        mdsmap: { fs_name: name, info: Object.fromEntries(states.map((state, gid) => [`gid_${gid}`, { state }])) },
      })),
    })

  test.each<[string, [string, ...string[]][], string, string, RegExp]>([
    ['no such file system', [['a', 'up:active']], 'tank', 'CEPH_POOL_MISSING', /no file system tank .*sees: a/],
    ['no file system at all', [], '', 'CEPH_POOL_MISSING', /no default file system .*sees: none/],
    ['no metadata server', [['tank', 'up:replay']], 'tank', 'SERVER_NOT_ANSWERING', /tank has no active/],
    [
      'a hanging metadata server',
      [['a', 'up:active']],
      '',
      'SERVER_NOT_ANSWERING',
      /the metadata server of a does not/,
    ],
  ])('is told by the cluster: %s', (_what, filesystems, fileSystem, reason, text) => {
    expect(isUnclearFailure(LAGGY)).toBe(true)
    const error = judgeFsMap(map(filesystems), LAGGY, mountOf({ fileSystem }))
    expect(error?.reason).toBe(reason)
    expect(error?.message).toMatch(text)
  })

  test.each(['', 'not JSON', '{}'])('stays unclear when the cluster answers %j', (text) => {
    expect(judgeFsMap(text, LAGGY, mountOf())).toBeUndefined()
  })

  test('without a session although the metadata server is active is a user without capabilities', () => {
    const words = 'mount error 110 = Connection timed out'
    expect(isUnclearFailure(words)).toBe(true)
    expect(judgeFsMap(map([['a', 'up:active']]), words, mountOf({ path: '/x' }))).toMatchObject({
      reason: 'LOGIN_DENIED',
      message: expect.stringMatching(/client\.fs no session on \/x/) as string,
    })
  })
})
