import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { MIB } from '../../../src/core/bytes.ts'
import type { OpContext } from '../../../src/core/context.ts'
import { AgentError } from '../../../src/core/errors.ts'
import type { PoolBackend, VolumeSpec } from '../../../src/storage/backend.ts'
import { recordingLogger } from '../../conformance/recording-logger.ts'
import { memorySecrets } from '../../support/storage-environment.ts'
import { until } from '../../support/until.ts'
import { missingCeph, startCeph, type CephCluster } from '../ceph.ts'
import { requirePrerequisite } from '../require.ts'
import { tool } from './local-fixture.ts'
import { rbdFixture, type RbdFixture } from './rbd-fixture.ts'

describe.skipIf(await requirePrerequisite('ceph', missingCeph))('Ceph RBD pools in trouble', () => {
  let cluster: CephCluster
  let fixture: RbdFixture
  let ctx: OpContext
  const log = recordingLogger()
  const errors: string[] = []

  beforeAll(async () => {
    cluster = await startCeph(inject('cephDir'))
  })
  beforeEach(async () => {
    log.lines.length = 0
    errors.length = 0
    fixture = await rbdFixture(cluster)
    ctx = { signal: AbortSignal.timeout(110_000), log }
  })
  afterEach(async () => {
    await cluster.control('start')
    await fixture.close()
    for (const secret of fixture.secrets) {
      expect(log.lines.join('\n')).not.toContain(secret)
      expect(errors.join('\n')).not.toContain(secret)
    }
  })

  const spec = (name: string, change: Partial<VolumeSpec> = {}): VolumeSpec => ({
    name,
    format: 'raw',
    sizeBytes: 64 * MIB,
    content: { type: 'empty' },
    owner: 'vm:1',
    ...change,
  })
  const failure = async (work: Promise<unknown>): Promise<AgentError> => {
    try {
      await work
    } catch (error) {
      if (!(error instanceof AgentError)) throw error
      errors.push(JSON.stringify({ message: error.message, details: error.details }))
      return error
    }
    throw new Error('no error')
  }
  const secretsDirectory = () => fixture.environment.paths.secrets
  const wrongKey = async () => {
    const file = path.join(path.dirname(secretsDirectory()), 'wrong.keyring')
    await tool('mkdir', '-p', path.dirname(file))
    await writeFile(file, '[client.vms]\n\tkey = AQBiafZn9qyhDhAAl1Vv3jQ2bAkRZzvnFZfaKQ==\n', { mode: 0o600 })
    return file
  }
  const open = async (backend: PoolBackend) => {
    await backend.activate({ mode: 'initialise' }, ctx)
    return backend
  }

  test.each<[string, () => Promise<Record<string, unknown>> | Record<string, unknown>, string, RegExp]>([
    ['a wrong key', async () => ({ keyringPath: await wrongKey() }), 'LOGIN_DENIED', /client\.vms/],
    ['a keyring that is missing', () => ({ keyringPath: '/nowhere/keyring' }), 'POOL_CONFIG_INVALID', /keyring_path/],
    ['a keyring of somebody else', () => ({ user: 'other' }), 'POOL_CONFIG_INVALID', /client\.other/],
    ['a pool that is missing', () => ({ poolName: 'nowhere', namespace: '' }), 'CEPH_POOL_MISSING', /nowhere/],
    ['a namespace that is missing', () => ({ namespace: 'nowhere' }), 'CEPH_POOL_MISSING', /nowhere/],
    [
      'a pool that is not for the user',
      () => ({ poolName: 'rbd2', namespace: '' }),
      'CEPH_POOL_MISSING',
      /client\.vms/,
    ],
    [
      'a pool of a file system',
      () => ({ poolName: 'cephfs.data', namespace: '', user: 'admin', keyringPath: cluster.keyring('admin') }),
      'POOL_DATA_FOREIGN',
      /cephfs/,
    ],
    [
      'a user without rights',
      () => ({ user: 'nobody', keyringPath: cluster.keyring('nobody') }),
      'CEPH_POOL_MISSING',
      /client\.nobody/,
    ],
    ['an unknown host', () => ({ monitors: ['no-such-host.invalid'] }), 'SERVER_UNKNOWN', /no-such-host\.invalid/],
    ['an address without a monitor', () => ({ monitors: ['127.9.9.9:6789'] }), 'SERVER_NOT_ANSWERING', /127\.9\.9\.9/],
    [
      'another cluster',
      () => ({ clusterId: '6a1b2c3d-0000-4000-8000-000000000000' }),
      'POOL_IDENTITY_MISMATCH',
      /cluster_id/,
    ],
  ])('%s has its own reason, and nothing is left', async (_what, change, reason, text) => {
    const secrets = memorySecrets()
    const environment = { ...fixture.environment, guestSecrets: secrets }
    const { cephRbdPools } = await import('../../../src/storage/backends/ceph-rbd.ts')
    const backend = cephRbdPools(environment).create(fixture.configWith(await change()))
    const error = await failure(backend.activate({ mode: 'initialise' }, ctx))
    expect([error.reason, error.message]).toEqual([reason, expect.stringMatching(text)])
    expect(await readdir(secretsDirectory()).catch(() => [])).toEqual([])
    expect([...secrets.values]).toEqual([])
    expect(await fixture.contents()).toEqual([])
  })

  test('a user of one namespace has its pool there', async () => {
    const options = { namespace: 'tenant', user: 'tenant', keyringPath: cluster.keyring('tenant') }
    const backend = await open(fixture.factory.create(fixture.configWith(options)))
    expect((await backend.createVolume(spec('disk'), ctx)).source).toMatchObject({ name: 'rbd/tenant/disk' })
    const { health, totalBytes } = await backend.probe(ctx)
    expect([health, totalBytes > 2 ** 30]).toEqual(['HEALTHY', true])
    await backend.deleteVolume('disk', ctx)
    await cluster.admin('rados', '--pool', 'rbd', '--namespace', 'tenant', 'rm', 'limiquantix.pool')
  })

  test('a monitor that is stopped is told in time and gathers no processes; its return needs nobody', async () => {
    const backend = await open(fixture.factory.create(fixture.config))
    await backend.createVolume(spec('disk'), ctx)
    await cluster.control('stop', 'mon')
    const probe = await backend.probe(ctx)
    expect(probe).toMatchObject({ health: 'ERROR', reason: 'SERVER_NOT_ANSWERING' })
    expect(probe.message).toContain(`Ceph cluster ${cluster.address} does not answer`)
    const asked = Array.from({ length: 5 }, () => failure(backend.getVolume('disk', ctx)))
    await until(async () => (await toolsAt(fixture.environment.paths.secrets)).length > 0)
    expect(await toolsAt(fixture.environment.paths.secrets)).toHaveLength(1)
    for (const error of await Promise.all(asked)) expect(error.reason).toBe('SERVER_NOT_ANSWERING')
    await cluster.control('start')
    expect((await backend.probe(ctx)).health).toBe('HEALTHY')
    expect(await backend.getVolume('disk', ctx)).toBeDefined()
  })

  test('no tool has the key on its command line or in its environment, and only root can read it', async () => {
    const [key = ''] = fixture.secrets
    const seen: string[] = []
    let watching = true
    const watcher = (async () => {
      while (watching) seen.push(...(await toolsAt(secretsDirectory(), ['cmdline', 'environ'])))
    })()
    const backend = await open(fixture.factory.create(fixture.config))
    const file = path.join(path.dirname(secretsDirectory()), 'image.raw')
    await tool('truncate', '-s', '8M', file)
    const source = { type: 'file', path: file, format: 'raw' } as const
    await backend.createVolume(spec('disk', { content: { type: 'copy', source } }), ctx)
    await backend.probe(ctx)
    watching = false
    await watcher
    expect(seen.length).toBeGreaterThan(0)
    expect(seen.join('\n')).not.toContain(key)
    const modes = await tool('find', secretsDirectory(), '-type', 'f', '-printf', '%m %f\n')
    expect(modes.trim().split('\n').sort()).toEqual(['600 ceph-pool-1.conf', '600 ceph-pool-1.keyring'])
    expect(await readFile(`${secretsDirectory()}/ceph-pool-1.conf`, 'utf8')).not.toContain(key)
    await backend.deactivate(ctx)
    expect(await readdir(secretsDirectory())).toEqual([])
  })

  test('an agent killed before it names a volume leaves nothing that its successor does not remove', async () => {
    await open(fixture.factory.create(fixture.config))
    // Nobody can look on as fast as this goes: the tool that would give the image its name kills the agent, and dies with it.
    const tools = path.join(base(), 'dying-tools')
    await mkdir(tools)
    const real = (await tool('sh', '-c', 'command -v rbd')).trim()
    const script = `#!/bin/sh\ncase " $* " in *" rename "*) kill -KILL $PPID; exit 1 ;; esac\nexec ${real} "$@"\n`
    await writeFile(path.join(tools, 'rbd'), script, { mode: 0o755 })
    const agent = startAgent({ type: 'empty' }, { PATH: `${tools}:${process.env['PATH']}` })
    expect(await once(agent, 'exit')).toEqual([null, 'SIGKILL'])
    expect(await fixture.contents()).toEqual([expect.stringMatching(/^\+tmp\./)])
    await succeed()
  })

  test('an agent killed while it fills a volume leaves nothing that its successor does not remove', async () => {
    await open(fixture.factory.create(fixture.config))
    const file = path.join(base(), 'image.raw')
    await tool('sh', '-c', `head -c 256M /dev/urandom > ${file}`)
    const agent = startAgent({ type: 'copy', source: { type: 'file', path: file, format: 'raw' } })
    const exited = once(agent, 'exit')
    await until(async () => (await fixture.contents()).some((image) => image.startsWith('+tmp.')), 60_000)
    agent.kill('SIGKILL')
    expect(await exited).toEqual([null, 'SIGKILL'])
    await succeed()
  })

  const base = () => path.dirname(secretsDirectory())
  // A process of its own makes a volume in the pool.
  const startAgent = (content: VolumeSpec['content'], env: Readonly<Record<string, string>> = {}) => {
    const request = spec('disk', { sizeBytes: 512 * MIB, content })
    const work = JSON.stringify({ base: path.dirname(base()), config: fixture.config, spec: request })
    return spawn(process.execPath, [path.join(import.meta.dirname, 'rbd-agent.ts'), work], {
      stdio: ['ignore', 'inherit', 'inherit'],
      detached: true,
      env: { ...process.env, ...env },
    })
  }
  // The next agent has the volume whole, or not at all, and can make others.
  const succeed = async (): Promise<void> => {
    const successor = fixture.factory.create(fixture.config)
    // Somebody who was killed has an image open for a while, in the eyes of the cluster.
    await until(async () => {
      await successor.activate({ mode: 'resume' }, ctx)
      return (await fixture.contents()).every((image) => image === 'disk')
    }, 90_000)
    const present = await successor.getVolume('disk', ctx)
    if (present === undefined) expect(await fixture.contents()).toEqual([])
    else expect(present.virtualSizeBytes).toBe(512 * MIB)
    expect((await successor.createVolume(spec('other'), ctx)).name).toBe('other')
  }
})

/** What the tools that run with a configuration below `directory` show of themselves. */
async function toolsAt(directory: string, files: readonly string[] = ['cmdline']): Promise<string[]> {
  const found: string[] = []
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue
    const cmdline = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    if (!cmdline.includes(directory) || !/^(rbd|rados|ceph|qemu-img|ceph-authtool|[^\0]*python3)\0/.test(cmdline))
      continue
    for (const file of files) found.push(await readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => ''))
  }
  return found
}
