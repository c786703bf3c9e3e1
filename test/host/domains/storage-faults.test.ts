import { execFile } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest'
import { domainRef, readDomainXml } from '../../../src/domains/libvirt-domain.ts'
import { missingLibvirt, missingRoot, requirePrerequisite } from '../require.ts'
import {
  context,
  endAgent,
  makeBase,
  newDisk,
  openAgent,
  removeBase,
  vmFiles,
  vmRequest,
  within,
  type AgentParts,
} from './agent-fixture.ts'
import { makeBootImage } from './boot-sector.ts'

const run = promisify(execFile)
const missing = await requirePrerequisite('libvirt', () => missingRoot() ?? missingLibvirt())

describe.skipIf(missing !== undefined)('storage that fails', () => {
  let base: string
  let agent: AgentParts
  let mounted: string
  beforeEach(async () => {
    base = await makeBase()
    mounted = path.join(base, 'mounted')
    await mkdir(mounted, { mode: 0o711 })
    await makeBootImage(path.join(base, 'images/boot.qcow2'), 'ignores')
    agent = await openAgent(base, inject('libvirtDir') ?? '')
  })
  afterEach(async () => {
    await endAgent(agent)
    // Lazily and maybe in vain: a test may have unmounted it.
    await run('umount', ['-l', mounted]).catch(() => undefined)
    await removeBase(base)
  })
  const initPool = (poolId: string) =>
    agent.pools.init({ poolId, kind: 'LOCAL_DIR', options: { path: mounted } }, context())

  test('a full pool: the create is refused with the numbers, and nothing is left', async () => {
    await run('mount', ['-t', 'tmpfs', '-o', 'size=2m,mode=0711', 'tmpfs', mounted])
    await initPool('small')
    const before = await vmFiles(agent)
    const what = vmRequest({}, { disks: [newDisk(), newDisk({ id: 'big', poolId: 'small' })] })
    await expect(agent.vms.create(what, within())).rejects.toMatchObject({ reason: 'POOL_FULL' })
    expect(await vmFiles(agent)).toEqual(before)
    await expect(agent.vms.status(what.vmId, within())).rejects.toMatchObject({ reason: 'VM_NOT_FOUND' })
  })

  test('a pool is not destroyed between the disks of a new VM and its definition', async () => {
    await run('mount', ['-t', 'tmpfs', '-o', 'size=64m,mode=0711', 'tmpfs', mounted])
    await agent.close()
    let refusal: unknown
    agent = await openAgent(base, inject('libvirtDir') ?? '', {
      aroundCall: async (name, call) => {
        if (name === 'remote:DOMAIN_DEFINE_XML_FLAGS')
          refusal = await agent.pools.destroy('memory', context()).catch((error: unknown) => error)
        return call()
      },
    })
    await initPool('memory')
    const what = vmRequest({}, { disks: [newDisk({ poolId: 'memory' })] })
    await agent.vms.create(what, within())
    expect(refusal).toMatchObject({ reason: 'POOL_IN_USE', message: expect.stringContaining(what.vmId) })
  })

  test('a disk on a tmpfs, which has no O_DIRECT, goes through the page cache', async () => {
    await run('mount', ['-t', 'tmpfs', '-o', 'size=64m,mode=0711', 'tmpfs', mounted])
    await initPool('memory')
    const what = vmRequest({}, { disks: [newDisk({ poolId: 'memory' }), newDisk({ id: 'other' })] })
    await agent.vms.create(what, within())
    const xml = await readDomainXml(agent.client, domainRef(what.vmId), what.vmId, within())
    expect(xml).toMatch(/cache='writeback'[^>]*io='threads'/)
  })

  test('a pool that is away at the delete: the VM is gone, its disk follows when the pool is back', async () => {
    const data = path.join(base, 'data')
    await mkdir(data, { mode: 0o711 })
    await run('mount', ['--bind', data, mounted])
    await initPool('away')
    const what = vmRequest({}, { disks: [newDisk({ poolId: 'away' })] })
    await agent.vms.create(what, within())
    await run('umount', ['-l', mounted])
    await agent.vms.delete(what.vmId, within())
    await agent.vms.delete(what.vmId, within())
    await expect(agent.vms.status(what.vmId, within())).rejects.toMatchObject({ reason: 'VM_NOT_FOUND' })
    await expect(agent.vms.create(what, within())).rejects.toMatchObject({ reason: 'CONFLICT' })
    const [cleanup] = agent.operations.list('vm.cleanup')
    expect(['pending', 'running']).toContain(cleanup?.state)
    await run('mount', ['--bind', data, mounted])
    expect(await agent.operations.wait(cleanup?.id ?? '', within(110))).toMatchObject({ state: 'completed' })
    const { stdout } = await run('find', [data, '-name', '*.qcow2'])
    expect(stdout).toBe('')
  })
})
