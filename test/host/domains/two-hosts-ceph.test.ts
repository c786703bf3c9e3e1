import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { randomUUID } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import type { CreateVmRequest, PoolConfig } from '../../../src/core/model.ts'
import { domainRef } from '../../../src/domains/libvirt-domain.ts'
import { until } from '../../support/until.ts'
import { missingCeph, startCeph, type CephCluster } from '../ceph.ts'
import { slowFault } from '../moments.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import {
  context,
  endAgent,
  makeBase,
  newDisk,
  openAgent,
  removeBase,
  vmRequest,
  within,
  type AgentParts,
  type OpenOptions,
} from './agent-fixture.ts'
import { makeBootImage } from './boot-sector.ts'
import { downLibvirtd, upLibvirtd } from './private-libvirtd.ts'

/** Its key is with libvirt under a name made of this. */
const RBD_POOL = `rbd-${randomUUID().slice(0, 8)}`
/** For who is not to wait for a writer that stays. */
const SHORT_MS = 2_000
/** Beyond the watch of a QEMU that libvirt had to kill. */
const LINGER_MS = 50_000
const missing =
  (await requirePrerequisite('ceph', missingCeph)) ?? (await requirePrerequisite('libvirt', missingLibvirt))

describe.skipIf(missing !== undefined)('two hosts that share a Ceph pool', () => {
  const bases: string[] = []
  let ceph: CephCluster
  let place: string
  let otherLibvirt: string
  let image: string
  let a: AgentParts
  let b: AgentParts
  let request: CreateVmRequest
  beforeAll(async () => {
    ceph = await startCeph(inject('cephDir'))
    place = `two-hosts-${randomUUID().slice(0, 8)}`
    await ceph.admin('ceph', 'osd', 'pool', 'create', place, '8')
    await ceph.admin('rbd', 'pool', 'init', place)
    // What docs/storage.md tells to give, and nothing else.
    await ceph.admin(
      'ceph',
      'auth',
      'get-or-create',
      `client.${place}`,
      'mon',
      'profile rbd',
      'mgr',
      `profile rbd pool=${place}`,
      'osd',
      `profile rbd pool=${place}`,
      '-o',
      keyring(),
    )
    bases.push(await makeBase(), await makeBase())
    image = path.join(bases[0] ?? '', 'images/boot.qcow2')
    await makeBootImage(image, 'ignores')
    otherLibvirt = await upLibvirtd()
  }, 240_000)
  beforeEach(async () => {
    a = await openA()
    b = await openB()
    request = vmRequest({}, { disks: [newDisk({ backingFile: image, poolId: RBD_POOL, format: 'raw' })] })
    for (const host of [a, b]) expect(await host.vms.create(request, within())).toMatchObject({ created: true })
  })
  afterEach(async () => {
    // In any order only one of them may delete the disk.
    for (const host of [a, b]) await host.vms.forceStop(request.vmId, within())
    await until(async () => (await lease()) === undefined)
    await endAgent(b)
    await endAgent(a)
  })
  afterAll(async () => {
    await downLibvirtd(otherLibvirt)
    for (const base of bases) await removeBase(base)
    await ceph.admin('ceph', 'auth', 'rm', `client.${place}`)
  })

  const keyring = () => path.join(inject('cephDir'), `client.${place}.keyring`)
  const open = async (base: string, libvirt: string, options: OpenOptions) => {
    const agent = await openAgent(base, libvirt, { lingerMs: LINGER_MS, imageRoots: [path.dirname(image)], ...options })
    const config: PoolConfig = {
      poolId: RBD_POOL,
      kind: 'CEPH_RBD',
      options: { monitors: [`${ceph.address}:6789`], poolName: place, user: place, keyringPath: keyring() },
    }
    await agent.pools.init(config, context())
    return agent
  }
  const openA = (options: OpenOptions = { sharedAs: 'host-a' }) =>
    open(bases[0] ?? '', inject('libvirtDir') ?? '', options)
  const openB = (options: OpenOptions = { sharedAs: 'host-b' }) => open(bases[1] ?? '', otherLibvirt, options)

  const lease = async () => {
    const object = `limiquantix.lease.${request.vmId}`
    const words = ['--no-mon-config', '--pool', place, 'lock', 'info', object, 'guest', '--format', 'json']
    const text = await ceph.admin('rados', ...words).catch(() => '{"lockers":[]}')
    const [locker] = (JSON.parse(text) as { lockers: { description: string }[] }).lockers
    return locker === undefined
      ? undefined
      : (JSON.parse(locker.description) as { holder: string; phase: string; since: string })
  }
  const holds = (holder: string, phase: string) =>
    until(async () => {
      const found = await lease()
      return found?.holder === holder && found.phase === phase
    })
  const disk = () => {
    const short = request.vmId.slice(0, 8)
    return `${place}/vms+vm-${short}_${short}+root`
  }
  const watchers = async () => {
    const { watchers: found } = JSON.parse(await ceph.admin('rbd', 'status', disk(), '--format', 'json')) as {
      watchers: { client: number }[]
    }
    return found
  }
  const startByHand = async (host: AgentParts) => {
    await host.client.call('remote:DOMAIN_CREATE_WITH_FLAGS', { dom: domainRef(request.vmId), flags: 0 })
    await until(async () => (await watchers()).length === 1)
  }
  const leased = async (host: AgentParts) => (await host.inventory.entry(request.vmId, within())).facts
  // One that libvirt had to kill is seen for half a minute.
  const unwatched = () => until(async () => (await watchers()).length === 0, 120_000)
  const stateOn = async (host: AgentParts) => (await host.vms.status(request.vmId, within())).state
  const elsewhere = (text = '') => ({ reason: 'VM_RUNS_ELSEWHERE', message: expect.stringContaining(text) as string })

  test('one runs the VM; the other one is told who, since when and from where, whatever it insists on, and deletes no disk', async () => {
    const { vmId } = request
    await a.vms.start(vmId, within())
    await holds('host-a', 'running')
    for (const takeOver of [false, true]) {
      const refused: unknown = await b.vms.start(vmId, within(), takeOver).catch((error: unknown) => error)
      expect(refused).toMatchObject(elsewhere('host-a.example.org'))
      const [watcher] = await watchers()
      expect(refused).toMatchObject(
        elsewhere(`root is being written to from 127.0.0.1 (Ceph client ${watcher?.client})`),
      )
      expect(refused).toMatchObject({ details: { since: (await lease())?.since } })
    }
    await expect(b.vms.delete(vmId, within())).rejects.toMatchObject(elsewhere())
    expect(await watchers()).toHaveLength(1)
    expect(await stateOn(a)).toBe('RUNNING')
    await b.vms.create(request, within())
  })

  test('what is off is free for the other one', async () => {
    const { vmId } = request
    await a.vms.start(vmId, within())
    await a.vms.forceStop(vmId, within())
    await until(async () => (await lease()) === undefined)
    await b.vms.start(vmId, within(120))
    await holds('host-b', 'running')
    await expect(a.vms.start(vmId, within())).rejects.toMatchObject(elsewhere())
  })

  test('a guest that was started by hand gets its lease; without one, and with a lease of one’s own, who writes is looked for all the same', async () => {
    const { vmId } = request
    await a.close()
    a = await openA({})
    await b.close()
    b = await openB({ sharedAs: 'host-b', lingerMs: SHORT_MS })
    await startByHand(a)
    await expect(b.vms.start(vmId, within())).rejects.toMatchObject(elsewhere('is off here, and its disk root'))
    expect(await lease()).toBeUndefined()
    await b.leases?.keepFree(await leased(b), context())
    for (const takeOver of [false, true])
      await expect(b.vms.start(vmId, within(), takeOver)).rejects.toMatchObject(
        elsewhere('is off here, and its disk root'),
      )
    await b.leases?.handOver(await leased(b), context())
    await a.close()
    a = await openA()
    await holds('host-a', 'running')
  })

  test('a guest that runs here does not prove that the host with the lease is wrong: the watcher may be its own', async () => {
    const { vmId } = request
    await startByHand(b)
    await holds('host-b', 'running')
    // The guest of host A has lost the image: all that is seen of it is libvirt's word.
    await a.client.call('remote:DOMAIN_CREATE_WITH_FLAGS', { dom: domainRef(vmId), flags: 0 })
    // Comes after a look at the lease, which has the lock of the VM.
    await a.vms.pause(vmId, within())
    await a.vms.resume(vmId, within())
    expect(await lease()).toMatchObject({ holder: 'host-b' })
    await a.vms.forceStop(vmId, within())
    expect(await lease()).toMatchObject({ holder: 'host-b' })
  })

  test('a guest that has come from another host gets its lease when that gives it back', async () => {
    const { vmId } = request
    await b.leases?.keepFree(await leased(b), context())
    await startByHand(a)
    await a.vms.pause(vmId, within())
    expect(await lease()).toMatchObject({ holder: 'host-b' })
    await b.leases?.handOver(await leased(b), context())
    await holds('host-a', 'running')
  })

  slowFault('the silence of an agent says nothing about its guests; the end of its watch does', async () => {
    const { vmId } = request
    await a.vms.start(vmId, within())
    await holds('host-a', 'running')
    await a.close()
    await expect(b.vms.start(vmId, within())).rejects.toMatchObject(elsewhere('being written to'))
    process.kill(await qemuOf(vmId), 'SIGKILL')
    // Nothing tells the cluster at once.
    await expect(b.vms.start(vmId, within())).rejects.toMatchObject(elsewhere('being written to'))
    await unwatched()
    await b.vms.start(vmId, within())
    await holds('host-b', 'running')
    a = await openA()
    await expect(a.vms.start(vmId, within())).rejects.toMatchObject(elsewhere('host-b.example.org'))
    expect(await stateOn(b)).toBe('RUNNING')
  })

  slowFault('an own guest that was killed is waited for', async () => {
    const { vmId } = request
    await a.vms.start(vmId, within())
    process.kill(await qemuOf(vmId), 'SIGKILL')
    await until(async () => ['STOPPED', 'CRASHED'].includes(await stateOn(a)))
    await a.vms.start(vmId, within(120))
    await holds('host-a', 'running')
  })

  test('an agent that is killed between its lease and the start: the others cannot tell, its next start can', async () => {
    const { vmId } = request
    await a.leases?.claim(await leased(a), { takeOver: false }, context())
    await a.close()
    await expect(b.vms.start(vmId, within())).rejects.toMatchObject(elsewhere('about to start there'))
    a = await openA()
    await until(async () => (await lease()) === undefined)
    await a.leases?.claim(await leased(a), { takeOver: false }, context())
    await a.vms.start(vmId, within())
    await holds('host-a', 'running')
  })

  test('an admin takes over what nobody writes to', async () => {
    const { vmId } = request
    await a.leases?.claim(await leased(a), { takeOver: false }, context())
    await a.close()
    await b.vms.start(vmId, within(), true)
    await holds('host-b', 'running')
    a = await openA()
    await expect(a.vms.start(vmId, within())).rejects.toMatchObject(elsewhere('host-b.example.org'))
  })

  test('of hosts that claim a VM at once one gets it', async () => {
    for (let round = 0; round < 4; round++) {
      const claims = await Promise.allSettled(
        [a, b].map(async (host) => host.leases?.claim(await leased(host), { takeOver: false }, context())),
      )
      expect(claims.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
      for (const claim of claims) {
        if (claim.status === 'rejected') expect(claim.reason).toMatchObject(elsewhere())
        else await claim.value?.undo()
      }
      expect(await lease()).toBeUndefined()
    }
  })

  slowFault('without exclusive-lock no silence is a proof', async () => {
    const { vmId } = request
    await a.vms.start(vmId, within())
    await holds('host-a', 'running')
    await a.close()
    process.kill(await qemuOf(vmId), 'SIGKILL')
    await unwatched()
    await ceph.admin('rbd', 'feature', 'disable', disk(), 'fast-diff', 'object-map', 'exclusive-lock')
    await expect(b.vms.start(vmId, within())).rejects.toMatchObject(elsewhere('no exclusive-lock'))
    await b.vms.start(vmId, within(), true)
    await holds('host-b', 'running')
    a = await openA()
  })

  test('a saved VM is not started elsewhere with changed disks, unless somebody insists', async () => {
    const { vmId } = request
    await a.vms.start(vmId, within())
    await a.vms.save(vmId, within())
    await holds('host-a', 'saved')
    await unwatched()
    await expect(b.vms.start(vmId, within())).rejects.toMatchObject(elsewhere('saved there'))
    await a.vms.start(vmId, within(120))
    await a.vms.save(vmId, within())
    await unwatched()
    await b.vms.start(vmId, within(), true)
    await a.vms.dropSaved(vmId, within())
    await holds('host-b', 'running')
  })

  test('a tool that has the disk open for a moment is waited for', async () => {
    const words = ['--conf', path.join(inject('cephDir'), 'ceph.conf'), '--name', 'client.admin', 'watch', disk()]
    const tool = spawn('rbd', words, { stdio: ['pipe', 'ignore', 'inherit'] })
    await until(async () => (await watchers()).length === 1)
    const starting = b.leases?.claim(await leased(b), { takeOver: false }, context())
    const exit = once(tool, 'exit')
    tool.stdin.end('\n')
    const [claim] = await Promise.all([starting, exit])
    await claim?.undo()
  })

  test('a cluster that does not answer ends a start in time, and holds no other VM up', async () => {
    const other = vmRequest()
    await a.vms.create(other, within())
    await ceph.control('freeze', 'osd')
    try {
      const starting = a.vms.start(request.vmId, within(110)).catch((error: unknown) => error)
      await a.vms.start(other.vmId, within())
      expect(await starting).toMatchObject({ code: expect.stringMatching(/UNAVAILABLE|DEADLINE_EXCEEDED/) as string })
    } finally {
      await ceph.control('thaw', 'osd')
    }
    expect(await stateOn(a)).toBe('STOPPED')
  })
})

async function qemuOf(vmId: string): Promise<number> {
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0')
    if (words[0]?.includes('qemu-system') === true && words.includes(vmId)) return Number(pid)
  }
  throw new Error(`VM ${vmId} has no QEMU`)
}
