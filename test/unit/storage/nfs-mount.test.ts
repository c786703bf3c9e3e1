import { describe, expect, test } from 'vitest'
import { AgentError } from '../../../src/core/errors.ts'
import { mountCommand } from '../../../src/platform/mounter.ts'
import { parseMountInfo, type MountEntry } from '../../../src/platform/mounts.ts'
import {
  nfsMismatch,
  nfsMountFailure,
  nfsMountOptions,
  optionsOfMount,
  parseExportPath,
  parseNfsOptions,
  parseNfsServer,
  splitNfsSource,
} from '../../../src/storage/mount-nfs.ts'

function reasonAndText(work: () => unknown): string {
  try {
    work()
    return 'no error'
  } catch (error) {
    if (error instanceof AgentError) return `${error.reason} ${error.message}`
    throw error
  }
}

describe('server of an NFS pool', () => {
  test.each([
    ['10.0.0.5', '10.0.0.5'],
    ['nas-1.example.net', 'nas-1.example.net'],
    ['nas_1', 'nas_1'],
    ['fd00::5', '[fd00::5]'],
    ['[fd00::5]', '[fd00::5]'],
    ['fe80::1%eth0', '[fe80::1%eth0]'],
  ])('%s stands as %s in front of the path', (text, source) => {
    expect(parseNfsServer(text).source).toBe(source)
  })

  test.each([
    ...['', '-o', '--help', 'a b', 'a,b', 'a:b', 'a/b', 'a\nb', 'a\0b', '$(reboot)', 'a;b', "a'b", 'a..b', '.a', 'a.'],
    ...['10.0.0', '10.0.0.256', '1.2.3.4.5', '[nas]', 'fd00::5]', 'ü', 'a'.repeat(300), 'fe80::1%e,h'],
  ])('refuses %j', (text) => {
    expect(reasonAndText(() => parseNfsServer(text))).toMatch(/^POOL_CONFIG_INVALID nfs\.server: /)
  })
})

describe('export path of an NFS pool', () => {
  test.each([
    ['/export', '/export'],
    ['/', '/'],
    ['//a//b/', '/a/b'],
    ['/with space, comma:and colon', '/with space, comma:and colon'],
  ])('%j is %j', (text, path) => {
    expect(parseExportPath(text)).toBe(path)
  })

  test.each(['', 'export', '/a/../b', '/a\nb', '/a\0', `/${'a'.repeat(5000)}`])('refuses %j', (text) => {
    expect(reasonAndText(() => parseExportPath(text))).toMatch(/^POOL_CONFIG_INVALID nfs\.export_path: /)
  })
})

describe('options of an NFS pool', () => {
  test.each(['', 'soft,timeo=50', 'sec=krb5p', 'sec=krb5:krb5i', 'nconnect=4,noatime', 'nolock', 'softreval'])(
    'allows %j',
    (text) => {
      expect(parseNfsOptions(text).join(',')).toBe(text)
    },
  )

  test.each([
    ...['vers=3', 'nfsvers=4', 'v3', 'minorversion=2', 'ro', 'rw', 'bg', 'retry=5', 'suid', 'dev', 'exec', 'remount'],
    ...['bind', 'move', 'loop', 'user', 'users', 'uid=0', 'addr=1.2.3.4', 'clientaddr=1.2.3.4', 'mounthost=evil'],
    ...['x-mount.mkdir', 'X-mount.idmap=/x', 'x-systemd.automount', 'helper=sh', 'sloppy', 'context=a', 'defaults'],
    ...['timeo', 'timeo=', 'timeo=-1', 'timeo=1e3', 'timeo=99999999', 'soft=1', 'sec=', 'sec=sys:evil', 'proto=icmp'],
    ...['soft hard', 'soft\thard', 'so\nft', 'timeo=5\0', '-o', '__proto__', 'constructor', 'toString', ' soft'],
    ...['soft,hard', 'soft,soft', 'timeo=1,timeo=2', 'lock,nolock', 'ac,noac', 'soft,vers=3'],
  ])('refuses %j', (text) => {
    expect(reasonAndText(() => parseNfsOptions(text))).toMatch(/^POOL_CONFIG_INVALID nfs\.options: /)
  })

  test('say what to do instead', () => {
    expect(reasonAndText(() => parseNfsOptions('vers=3'))).toContain('nfs.version')
  })

  test('the version is always stated, and the mount is hard unless the pool says otherwise', () => {
    expect(nfsMountOptions('4.1', [])).toEqual(['vers=4.1', 'hard', 'nosuid', 'nodev', 'noexec', 'retry=0'])
    expect(nfsMountOptions('3', ['soft', 'nolock'])).toEqual([
      ...['vers=3', 'nosuid', 'nodev', 'noexec', 'retry=0', 'soft', 'nolock'],
    ])
  })

  test('reach mount(8) as arguments of their own, after which nothing is an option', () => {
    const source = '10.0.0.5:/a b,exec'
    const request = { source, target: '/mnt/-x', fsType: 'nfs', options: ['vers=4.1', 'hard'], package: 'nfs-common' }
    expect(mountCommand({ ...request, timeoutMs: 1 }).args).toEqual([
      ...['-t', 'nfs', '-o', 'vers=4.1,hard', '--', source, '/mnt/-x'],
    ])
  })
})

// As Linux 6.1 prints them.
const V41 =
  '170 25 0:41 / /mnt/p rw,nosuid,nodev,noexec,relatime shared:91 - nfs4 10.99.0.1:/pool rw,vers=4.1,rsize=1048576,wsize=1048576,namlen=255,hard,proto=tcp,timeo=600,retrans=2,sec=sys,clientaddr=10.99.0.2,local_lock=none,addr=10.99.0.1'
const V3 =
  '168 25 0:40 / /mnt/p rw,relatime shared:91 - nfs 10.99.0.1:/pool rw,vers=3,rsize=1048576,wsize=1048576,namlen=255,hard,nolock,proto=tcp,timeo=600,retrans=2,sec=sys,mountaddr=10.99.0.1,mountvers=3,mountport=20048,mountproto=udp,local_lock=all,addr=10.99.0.1'
const LOCAL = '30 25 8:1 / /mnt/p rw,relatime shared:1 - ext4 /dev/sda1 rw'

function entry(line: string): MountEntry {
  const [parsed] = parseMountInfo(line)
  if (parsed === undefined) throw new Error('not a line of mountinfo')
  return parsed
}

describe('a mount in the place of an NFS pool', () => {
  const wanted = (version: '3' | '4' | '4.0' | '4.1' | '4.2', extra: string[] = [], source = '10.99.0.1:/pool') => ({
    source,
    version,
    options: nfsMountOptions(version, extra),
  })

  test.each([
    ['the same', V41, wanted('4.1')],
    ['any 4.x for version 4', V41, wanted('4')],
    ['version 3', V3, wanted('3', ['nolock'])],
    ['a trailing slash', V41.replace(':/pool ', ':/pool/ '), wanted('4.1')],
    ['other sizes and times', V41, wanted('4.1', ['rsize=4096', 'timeo=50'])],
    ['a space in the path', V41.replace(':/pool ', ':/a\\040b '), wanted('4.1', [], '10.99.0.1:/a b')],
    ['the case of a host name', V41.replace('10.99.0.1:', 'NAS:'), wanted('4.1', [], 'nas:/pool')],
    ['an IPv6 server', V41.replace('10.99.0.1:/', '[fd00::5]:/'), wanted('4.1', [], '[fd00::5]:/pool')],
    ['the root export', V41.replace(':/pool ', ':/ '), wanted('4.1', [], '10.99.0.1:/')],
  ])('is it: %s', (_what, line, mount) => {
    expect(nfsMismatch(entry(line), mount)).toBeUndefined()
  })

  test.each([
    ['another export', V41, wanted('4.1', [], '10.99.0.1:/other'), /another export, 10\.99\.0\.1:\/pool instead of/],
    ['a directory below', V41, wanted('4.1', [], '10.99.0.1:/pool/sub'), /another export/],
    ['another server', V41, wanted('4.1', [], '10.0.0.5:/pool'), /another server/],
    ['another minor version', V41, wanted('4.2'), /version 4\.1, not 4\.2/],
    ['version 3 for 4', V3, wanted('4', ['nolock']), /version 3, not 4/],
    ['soft for hard', V41.replace(',hard,', ',soft,'), wanted('4.1'), /without the option hard/],
    ['hard for soft', V41, wanted('4.1', ['soft']), /without the option soft/],
    ['other security', V41, wanted('4.1', ['sec=krb5p']), /without the option sec=krb5p/],
    ['locks on the server for local ones', V3.replace('nolock,', ''), wanted('3', ['nolock']), /option nolock/],
    ['read-only', V41.replace('/mnt/p rw', '/mnt/p ro'), wanted('4.1'), /read-only/],
    ['a disk', LOCAL, wanted('4.1'), /\/dev\/sda1 \(ext4\)/],
  ])('is another one: %s', (_what, line, mount, text) => {
    expect(nfsMismatch(entry(line), mount)).toMatch(text)
  })

  test('gives a configuration under which it is the pool’s own', () => {
    for (const line of [V41, V3, V41.replace(',hard,', ',soft,')]) {
      const found = entry(line)
      const { version, options } = optionsOfMount(found)
      const again = wanted(version as '4.1', parseNfsOptions(options))
      expect(nfsMismatch(found, again)).toBeUndefined()
    }
  })

  test.each([
    ['nas:/a', { server: 'nas', exportPath: '/a' }],
    ['[fd00::5]:/a:b', { server: 'fd00::5', exportPath: '/a:b' }],
    ['/dev/sda1', undefined],
    ['nas:relative', undefined],
  ])('source %s is %j', (source, parts) => {
    expect(splitNfsSource(source)).toEqual(parts)
  })
})

describe('what mount.nfs says', () => {
  // Recorded with nfs-utils 2.6.2 on Linux 6.1; the last ones are from its source.
  test.each([
    ['mount.nfs: mounting 10.99.0.1:/nope failed, reason given by server: No such file or directory', 'EXPORT_MISSING'],
    ['mount.nfs: access denied by server while mounting 10.99.0.1:/denied', 'EXPORT_DENIED'],
    ['mount.nfs: Resource temporarily unavailable', 'SERVER_UNKNOWN'],
    ['mount.nfs: Connection refused', 'SERVER_NOT_ANSWERING'],
    ['mount.nfs: No route to host', 'SERVER_NOT_ANSWERING'],
    ['mount.nfs: an incorrect mount option was specified', 'MOUNT_OPTION_REFUSED'],
    ['mount.nfs: rpc.statd is not running but is required for remote locking.', 'MOUNT_FAILED'],
    ['mount.nfs: Failed to resolve server nas: Name or service not known', 'SERVER_UNKNOWN'],
    ['mount.nfs: Connection timed out', 'SERVER_NOT_ANSWERING'],
    ['mount.nfs: Protocol not supported', 'MOUNT_OPTION_REFUSED'],
    ['mount.nfs: requested NFS version or transport protocol is not supported', 'MOUNT_OPTION_REFUSED'],
    ['mount.nfs: Operation not permitted for nas:/pool on /mnt/p', 'EXPORT_DENIED'],
    ['mount.nfs: Stale file handle', 'POOL_STALE'],
    ['you might need a /sbin/mount.<type> helper program.', 'COMMAND_MISSING'],
  ])('%s is %s', (words, reason) => {
    const failure = nfsMountFailure(`mount ended with exit code 32: ${words}`, 'nas', '/pool')
    expect(failure?.reason).toBe(reason)
    expect(failure?.message).not.toMatch(/not found|already|exists/i)
  })

  test('new words are not guessed at', () => {
    expect(nfsMountFailure('mount.nfs: the moon is full', 'nas', '/pool')).toBeUndefined()
  })
})
