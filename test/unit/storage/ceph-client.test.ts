import { writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { AgentError } from '../../../src/core/errors.ts'
import { cephFailure, clusterName, parseCephClient } from '../../../src/storage/ceph-client.ts'
import { SecretFile } from '../../../src/storage/secret-file.ts'
import { storagePaths } from '../../support/storage-environment.ts'
import { tempDirectory } from './fixture.ts'
import { readdir, readFile, stat } from 'node:fs/promises'

const client = (given: { monitors?: string[]; user?: string; keyringPath?: string } = {}) =>
  parseCephClient({ monitors: ['10.0.0.1'], user: '', keyringPath: '', ...given })

describe('a Ceph client', () => {
  test('has defaults, and its monitors in one order, each once', () => {
    expect(
      client({ monitors: ['10.0.0.2:3300', '10.0.0.1', '10.0.0.1:6789, [fd00::1]:6789', 'mon-c.example'] }),
    ).toEqual({
      monitors: [
        { host: '10.0.0.1', port: 6789 },
        { host: '10.0.0.2', port: 3300 },
        { host: 'fd00::1', port: 6789 },
        { host: 'mon-c.example', port: 6789 },
      ],
      user: 'admin',
      keyringPath: '/etc/ceph/ceph.client.admin.keyring',
      keyrings: ['/etc/ceph/ceph.client.admin.keyring'],
    })
    expect(client({ user: 'client.vms' })).toMatchObject({
      user: 'vms',
      keyringPath: '/etc/ceph/ceph.client.vms.keyring',
      // What control planes take for the default.
      keyrings: ['/etc/ceph/ceph.client.vms.keyring', '/etc/ceph/ceph.client.admin.keyring'],
    })
    expect(client({ user: 'vms', keyringPath: '/srv/key' }).keyrings).toEqual(['/srv/key'])
  })

  test.each([
    ...['', '-m', 'a b', 'a/b', 'a:b', '10.0.0', '10.0.0.1:0', '10.0.0.1:70000', '[10.0.0.1]:6789', '10.0.0.1:6789:/'],
    ...['[fd00::1', 'fe80::1%eth0', 'a\nb', '$(reboot)', '.a', 'a=b'],
  ])('refuses the monitor %j', (monitor) => {
    expect(() => client({ monitors: [monitor] })).toThrow(/^ceph\.monitors: /)
  })

  test.each(['a b', '-x', 'a,b', 'a=b', 'a/b', 'client.', 'ü'])('refuses the user %j', (user) => {
    expect(() => client({ user })).toThrow(/^ceph\.user: /)
  })

  test.each(['relative', '/a/../b', '/a\nb'])('refuses the keyring %j', (keyringPath) => {
    expect(() => client({ keyringPath })).toThrow(/^ceph\.keyring_path: /)
  })

  test('is called by its monitors', () => {
    expect(clusterName(client({ monitors: ['10.0.0.2:3300', '10.0.0.1'] }))).toBe(
      'Ceph cluster 10.0.0.1, 10.0.0.2:3300',
    )
  })
})

describe('what a tool of Ceph says', () => {
  test.each([
    ['[errno 13] RADOS permission denied (error connecting to the cluster)', 'LOGIN_DENIED'],
    ['[errno 1] RADOS operation not permitted (error connecting to the cluster)', 'LOGIN_DENIED'],
    ['Error EACCES: access denied', 'LOGIN_DENIED'],
    ['timed out', 'SERVER_NOT_ANSWERING'],
    ['[errno 110] RADOS timed out (error connecting to the cluster)', 'SERVER_NOT_ANSWERING'],
    ['server name not found: mon-x (Name or service not known)', 'SERVER_UNKNOWN'],
    ['something new', 'COMMAND_FAILED'],
  ])('%s is %s', (words, reason) => {
    const error = new AgentError('COMMAND_FAILED', `ceph ended with exit code 1: ${words}`)
    expect(cephFailure(error, client())).toMatchObject({ reason })
  })
})

test('a secret file is private from its first byte, and a former one is replaced', async () => {
  const paths = storagePaths(await tempDirectory())
  const file = new SecretFile(paths, 'cephfs-p1.key')
  await file.remove()
  await file.write('old')
  await writeFile(file.path, 'left by a killed agent')
  await file.write('key')
  expect(await readFile(file.path, 'utf8')).toBe('key')
  expect((await stat(file.path)).mode & 0o777).toBe(0o600)
  expect((await stat(paths.secrets)).mode & 0o777).toBe(0o700)
  await file.remove()
  expect(await readdir(paths.secrets)).toEqual([])
})
