import { afterEach, describe, expect, test } from 'vitest'
import type { AgentError } from '../../../src/core/errors.ts'
import { Lvm } from '../../../src/storage/lvm.ts'
import { missingLoopDevices } from '../domains/loop-pool.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'
import { ctx, sharedGroup, type SharedGroup } from './shared-group.ts'

const missing =
  (await requirePrerequisite('lvm', missingCommand('lvm', 'losetup'))) ??
  (await requirePrerequisite('loop', missingLoopDevices))
const POOL = ['pool=p1', 'kind=LOCAL_LVM', 'generation=g']
const initialise = { mode: 'initialise' } as const

// What becomes of a volume group when a taking fails or another host gets in between.
describe.skipIf(missing !== undefined)('a volume group that is being taken', () => {
  let shared: SharedGroup
  const given = async (...tags: string[]) => (shared = await sharedGroup(...tags))
  const thinPools = async () =>
    (await shared.lvm('lvs', '--noheadings', '-o', 'lv_name', shared.volumeGroup)).trim().split(/\s+/)
  const groupTags = async () =>
    (await shared.lvm('vgs', '--noheadings', '-o', 'vg_tags', shared.volumeGroup)).trim().split(',')
  afterEach(() => shared.close())

  test('is made in by the one host only that got it, though another has seen it free', async () => {
    await given()
    const hasSeen = Promise.withResolvers<void>()
    const makes = Promise.withResolvers<void>()
    const made: string[] = []
    class LateLvm extends Lvm {
      override async change(...[args, context]: Parameters<Lvm['change']>): Promise<void> {
        if (args[0] === 'lvcreate') return void made.push('host-b')
        hasSeen.resolve()
        await makes.promise
        await super.change(args, context)
      }
    }
    const late = shared.group('host-b', LateLvm).take(initialise, ctx())
    const outcome = late.then(
      () => 'taken',
      (error: AgentError) => error.reason,
    )
    class MakingLvm extends Lvm {
      override async change(...[args, context]: Parameters<Lvm['change']>): Promise<void> {
        if (args[0] !== 'lvcreate') return super.change(args, context)
        made.push('host-a')
        makes.resolve()
        await outcome
        await shared.addThinPool()
      }
    }
    await hasSeen.promise
    await shared.group('host-a', MakingLvm).take(initialise, ctx())
    expect(await outcome).toBe('POOL_IN_USE')
    expect(made).toEqual(['host-a'])
    expect(await shared.marks()).toEqual(['limiquantix.node=host-a'])
    // One generation only, or the holder would not know it again.
    expect((await groupTags()).map((tag) => tag.replace(/=.*/, '')).sort()).toEqual(
      ['generation', 'kind', 'node', 'pool'].map((key) => `limiquantix.${key}`),
    )
  })

  test.each([
    ['a thin pool that could not be made', /^(?:POOL_FULL|COMMAND_FAILED)$/, () => shared.closeDisk()],
    ['one that is not fit', /^POOL_CONFIG_INVALID$/, () => shared.addThinPool({ zeroes: false })],
  ])('is free for others after an initialisation that ended with %s', async (_, reason, prepare) => {
    await given()
    await prepare()
    const failed = { reason: expect.stringMatching(reason) as string }
    await expect(shared.pool('host-a').activate(initialise, ctx())).rejects.toMatchObject(failed)
    expect(await groupTags()).toEqual([''])
  })

  test('is left as it is by one that is refused although its mark is on it, too, and loses that mark', async () => {
    await given(...POOL, 'made', 'node=host-b', 'node=host-a')
    await shared.addThinPool({ tags: ['limiquantix.made'] })
    const refused = { reason: 'POOL_IN_USE', message: expect.stringContaining('agent host-b') as string }
    await expect(shared.group('host-a').remove(ctx())).rejects.toMatchObject(refused)
    await expect(shared.pool('host-a').activate(initialise, ctx())).rejects.toMatchObject(refused)
    expect(await shared.marks()).toEqual(['limiquantix.node=host-b'])
    expect(await thinPools()).toEqual(['thin'])
    await shared.group('host-b').take({ mode: 'resume', generation: 'g' }, ctx())
  })

  test('stays with the one on which the thin pool is active when both say that they have it', async () => {
    class ActiveLvm extends Lvm {
      override async read(...args: Parameters<Lvm['read']>) {
        const group = await super.read(...args)
        return group && { ...group, volumes: group.volumes.map((lv) => ({ ...lv, active: true })) }
      }
    }
    const resume = { mode: 'resume', generation: 'g' } as const
    await given(...POOL, 'node=host-b', 'node=host-a')
    await shared.addThinPool()
    // An admin's thin pool may be active on any host.
    await expect(shared.group('host-a', ActiveLvm).take(resume, ctx())).rejects.toMatchObject({ reason: 'POOL_IN_USE' })
    await shared.tag('made')
    await shared.group('host-a', ActiveLvm).take(resume, ctx())
    await expect(shared.group('host-b').take(resume, ctx())).rejects.toMatchObject({ reason: 'POOL_IN_USE' })
    expect(await shared.marks()).toEqual(['limiquantix.node=host-a', 'limiquantix.node=host-b'])
  })

  test("is not kept from others by what a host wrote that lets go of it, and another pool's is not touched", async () => {
    await given(...POOL, 'node=host-b', 'taker=host-a')
    await shared.addThinPool()
    await shared.pool('host-a').deactivate(ctx())
    expect(await shared.marks()).toEqual(['limiquantix.node=host-b'])
    await shared.lvm('vgchange', '--deltag', 'limiquantix.pool=p1', shared.volumeGroup)
    await shared.tag('pool=p2', 'node=host-a', 'taker=host-a')
    const before = await groupTags()
    await shared.pool('host-a').deactivate(ctx())
    await expect(shared.pool('host-a').activate(initialise, ctx())).rejects.toMatchObject({
      reason: 'POOL_IDENTITY_MISMATCH',
    })
    expect(await groupTags()).toEqual(before)
  })

  test('with a disk missing is said to be so, and not written to', async () => {
    await given(...POOL, 'taker=host-a')
    await shared.addThinPool()
    await shared.loseDisk()
    for (const request of [initialise, { mode: 'resume', generation: 'g' } as const]) {
      await expect(shared.pool('host-a').activate(request, ctx())).rejects.toMatchObject({ reason: 'DEVICE_MISSING' })
    }
    expect(await shared.pool('host-a').deactivate(ctx())).toBe('already-inactive')
    expect(await shared.marks()).toEqual(['limiquantix.taker=host-a'])
  })
})
