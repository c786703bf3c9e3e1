import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { OpContext } from '../../../src/core/context.ts'
import { Lvm } from '../../../src/storage/lvm.ts'
import type { LvmGroup } from '../../../src/storage/lvm-group.ts'
import { missingLoopDevices } from '../domains/loop-pool.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'
import { ctx, sharedGroup, type SharedGroup } from './shared-group.ts'

const missing =
  (await requirePrerequisite('lvm', missingCommand('lvm', 'losetup'))) ??
  (await requirePrerequisite('loop', missingLoopDevices))

// Two agents on one machine see the disk as two hosts on a shared one do: all that keeps them apart is in the volume group itself.
describe.skipIf(missing !== undefined)('a volume group that two hosts see', () => {
  let shared: SharedGroup
  const tags = () => shared.marks()
  const host = (nodeId: string, lvmClass?: typeof Lvm): LvmGroup => shared.group(nodeId, lvmClass)
  const resume = { mode: 'resume', generation: 'g' } as const

  beforeEach(async () => {
    shared = await sharedGroup('pool=p1', 'kind=LOCAL_LVM', 'generation=g')
    await shared.addThinPool()
  })
  afterEach(() => shared.close())

  test('is refused to the second, for everything, until the first gives it back', async () => {
    const [first, second] = [host('host-b'), host('host-a')]
    await first.take(resume, ctx())
    expect(await tags()).toEqual(['limiquantix.node=host-b'])
    const refused = {
      reason: 'POOL_IN_USE',
      message: expect.stringMatching(/another host \(agent host-b\).*--deltag limiquantix\.node=host-b/) as string,
    }
    await expect(second.take(resume, ctx())).rejects.toMatchObject(refused)
    await expect(second.take({ mode: 'initialise' }, ctx())).rejects.toMatchObject(refused)
    await expect(second.require(ctx())).rejects.toMatchObject(refused)
    await expect(second.remove(ctx())).rejects.toMatchObject(refused)
    // The same again, and after a restart.
    await first.take(resume, ctx())
    await host('host-b').take(resume, ctx())
    await second.release(ctx())
    expect(await tags()).toEqual(['limiquantix.node=host-b'])

    await first.release(ctx())
    await second.take(resume, ctx())
    await expect(first.require(ctx())).rejects.toMatchObject({ reason: 'POOL_IN_USE' })
    expect(await tags()).toEqual(['limiquantix.node=host-a'])
  })

  test.each(['resume', 'initialise'] as const)('goes to one of two at most that take it at once (%s)', async (mode) => {
    const request = mode === 'resume' ? resume : ({ mode } as const)
    const names = ['host-a', 'host-b']
    const results = await Promise.allSettled(names.map((name) => host(name).take(request, ctx())))
    for (const result of results) {
      if (result.status === 'rejected') expect(result.reason).toMatchObject({ reason: 'POOL_IN_USE' })
    }
    const owners = names.filter((_name, index) => results[index]?.status === 'fulfilled')
    expect(owners.length).toBeLessThan(2)
    expect(await tags()).toEqual(owners.map((name) => `limiquantix.node=${name}`))
  })

  test('stays with the first when the second has seen it free, and marks it only then', async () => {
    const first = host('host-b')
    class LateLvm extends Lvm {
      override async change(...[args, context]: Parameters<Lvm['change']>): Promise<void> {
        if (args.includes('--addtag')) await first.take(resume, context)
        await super.change(args, context)
      }
    }
    // Its name sorts before the other: that must not decide.
    await expect(host('host-a', LateLvm).take(resume, ctx())).rejects.toMatchObject({ reason: 'POOL_IN_USE' })
    expect(await tags()).toEqual(['limiquantix.node=host-b'])
    await first.require(ctx())
  })

  /** An agent whose `nth` change of the volume group's marks is another one, or none. */
  const interrupted = (nth: number, instead: (change: () => Promise<void>, context: OpContext) => Promise<void>) => {
    let count = 0
    return class extends Lvm {
      override async change(...[args, context]: Parameters<Lvm['change']>): Promise<void> {
        const isMark = args.some((arg) => /^limiquantix\.(?:node|taker)=/.test(arg))
        if (isMark && ++count === nth) return instead(() => super.change(args, context), context)
        await super.change(args, context)
      }
    }
  }

  test.each([
    ['was killed after it had said that it wants it', 1, true],
    ['could not take its mark off', 2, false],
  ])('stays with the first when the second %s, and comes back', async (_, nth, isDone) => {
    const first = host('host-b')
    const late = interrupted(1, async (change, context) => {
      await first.take(resume, context)
      await change()
    })
    class Dying extends late {
      #isDead = false
      override async change(...[args, context]: Parameters<Lvm['change']>): Promise<void> {
        const isLast = args.includes(nth === 1 ? '--addtag' : '--deltag')
        if (!this.#isDead && (isDone || !isLast)) await super.change(args, context)
        this.#isDead ||= isLast
        if (this.#isDead) throw new Error('killed')
      }
    }
    await expect(host('host-a', Dying).take(resume, ctx())).rejects.toThrow('killed')
    expect(await tags()).toEqual(['limiquantix.node=host-b', 'limiquantix.taker=host-a'])
    for (const mode of [resume, { mode: 'initialise' } as const]) {
      await expect(host('host-a').take(mode, ctx())).rejects.toMatchObject({ reason: 'POOL_IN_USE' })
    }
    expect(await tags()).toEqual(['limiquantix.node=host-b'])
    await first.take(resume, ctx())
  })

  test('is refused while another wants it, who takes it when it is back', async () => {
    await shared.tag('taker=host-b', 'taker=host-a')
    const message = /being taken by another host \(agent host-b\).*--deltag limiquantix\.taker=host-b/
    await expect(host('host-a').take(resume, ctx())).rejects.toThrow(message)
    await host('host-b').take(resume, ctx())
    expect(await tags()).toEqual(['limiquantix.node=host-b'])
  })

  test.each(['wish', 'mark'] as const)("is not had by one whose %s another host's write took away", async (which) => {
    const nth = which === 'wish' ? 1 : 2
    const overwritten = interrupted(nth, async (change) => {
      await change()
      const tag = `limiquantix.${nth === 1 ? 'taker' : 'node'}=host-a`
      await shared.lvm('vgchange', '--deltag', tag, shared.volumeGroup)
    })
    await expect(host('host-a', overwritten).take(resume, ctx())).rejects.toMatchObject({ reason: 'POOL_IN_USE' })
    expect(await tags()).toEqual([])
    await host('host-a').take(resume, ctx())
  })

  test('that two say they have is taken by neither', async () => {
    const names = ['host-a', 'host-b']
    await shared.tag(...names.map((name) => `node=${name}`))
    for (const name of names) {
      await expect(host(name).take(resume, ctx())).rejects.toMatchObject({ reason: 'POOL_IN_USE' })
    }
    expect(await tags()).toEqual(names.map((name) => `limiquantix.node=${name}`))
  })
})
