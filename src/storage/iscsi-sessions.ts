import { readFile } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { withDeadline, type OpContext } from '../core/context.ts'
import { AgentError, toAgentError } from '../core/errors.ts'
import { abortable, KeyedLock } from '../core/keyed-lock.ts'
import { Reverter } from '../core/reverter.ts'
import { readMounts } from '../platform/mounts.ts'
import type { IscsiSessionRecord, StorageEnvironment } from './environment.ts'
import { NodeRecords } from './iscsi-node-record.ts'
import { disksInUse, leadsTo, lunLink, lunOfDisk, readLun, readSessions, type KernelSession } from './iscsi-sysfs.ts'
import { portalText, type Chap, type IscsiTarget } from './iscsi-target.ts'
import { addressesOf, login, logout, notAnswering, rescan } from './iscsiadm.ts'
import { isMapOf } from './lvm-names.ts'

/** The LUN of one pool, and how to get at it. */
export interface IscsiLun {
  readonly poolId: string
  readonly target: IscsiTarget
  readonly chap?: Chap
  readonly lun: number
}

/** Where the host keeps what is read here; other places in tests. */
export interface IscsiHost {
  readonly sys: string
  readonly dev: string
  readonly etc: string
}

const THIS_HOST: IscsiHost = { sys: '/sys', dev: '/dev', etc: '/etc/iscsi' }
/** iscsid answers a login before the kernel and udev have made the disks. */
const DISK_TIMEOUT_MS = 20_000
/** What another login, which a killed agent left behind, takes at most. */
const PENDING_TIMEOUT_MS = 25_000
const POLL_MS = 100

/**
 * Sessions of the host's initiator (open-iscsi) for the pools of this agent. Pools on LUNs of one target share a session, and the last one logs out; a session that
 * was there before is used and never logged out. Whatever can be read is read from sysfs, which a dead target does not hold up.
 */
export class IscsiSessions {
  readonly #environment: StorageEnvironment
  readonly #host: IscsiHost
  readonly #records: NodeRecords
  readonly #locks = new KeyedLock()
  /** Of portals that are given by name, as they were at the last login. */
  readonly #addresses = new Map<string, readonly string[]>()

  constructor(environment: StorageEnvironment, host: IscsiHost = THIS_HOST) {
    this.#environment = environment
    this.#host = host
    this.#records = new NodeRecords(host.etc)
  }

  /**
   * Logs in where that is needed and waits for the LUN; resolves to its stable device path. What a failed attempt left is removed, after an abort in the background.
   * Errors: TARGET_UNKNOWN, LOGIN_DENIED, LOGIN_FAILED, SERVER_UNKNOWN, SERVER_NOT_ANSWERING, DEVICE_MISSING, COMMAND_MISSING.
   */
  async attach(lun: IscsiLun, ctx: OpContext): Promise<{ device: string; outcome: 'attached' | 'already-attached' }> {
    const { target } = lun
    this.#addresses.set(target.portal.host, await addressesOf(target.portal.host, ctx.signal))
    const work = this.#locks.run(keyOf(target), ctx.signal, async () => {
      const reverter = new Reverter(ctx.log)
      try {
        const held = (await this.#environment.sessions.get(lun.poolId)) !== undefined
        const present = await this.#find(target)
        const session = present ?? (await this.#login(lun, ctx, reverter))
        if (session.state !== 'LOGGED_IN') throw notAnswering(target)
        if (present !== undefined) await this.#join(lun, present, reverter)
        const device = await this.#disk(lun, session.name, ctx)
        const before = held && present !== undefined
        return { device, outcome: before ? ('already-attached' as const) : ('attached' as const) }
      } catch (error) {
        await reverter.revert()
        throw error
      }
    })
    return abortable(work, ctx.signal)
  }

  /**
   * The device path of an attached LUN as of now. Never waits for the target. Errors: SERVER_NOT_ANSWERING while the target is dead, DEVICE_MISSING when session
   * or LUN are gone.
   */
  async device({ target, lun }: IscsiLun): Promise<string> {
    const session = await this.#find(target)
    if (session === undefined) {
      throw new AgentError(
        'DEVICE_MISSING',
        `this host is not logged in to ${target.name} at ${portalText(target.portal)}`,
      )
    }
    if (session.state !== 'LOGGED_IN') throw notAnswering(target)
    const found = await readLun(this.#host.sys, session.name, lun)
    if (found?.disk === undefined) throw missingLun(target, lun)
    if (found.state !== 'running') throw notAnswering(target, { why: `the disk is ${found.state}` })
    const link = await lunLink(this.#host.dev, target, found.disk)
    if (link !== undefined) return link
    throw new AgentError('DEVICE_MISSING', `udev has not named LUN ${lun} of ${target.name} (${found.disk}) yet`)
  }

  /** True when this host has any session, whoever made it. */
  async any(): Promise<boolean> {
    return (await readSessions(this.#host.sys)).length > 0
  }

  /** The LUN that a disk (`/dev/sdb`) is, with the credentials the agent logged in with; undefined for other disks. */
  async lunOf(disk: string): Promise<Omit<IscsiLun, 'poolId'> | undefined> {
    const { sys } = this.#host
    const found = await lunOfDisk(sys, disk)
    const session = (await readSessions(sys)).find(({ name }) => name === found?.session)
    if (found === undefined || session === undefined) return undefined
    const { askedHost, port, targetName } = session
    const target = { portal: { host: askedHost.toLowerCase(), port }, name: targetName.toLowerCase() }
    const chap = await this.#records.chap(target)
    return { target, lun: found.lun, ...(chap === undefined ? {} : { chap }) }
  }

  /** True when there is a session and the kernel knows that its target does not answer, which takes it up to 10 s of silence. */
  async isDead(target: IscsiTarget): Promise<boolean> {
    const session = await this.#find(target)
    return session !== undefined && session.state !== 'LOGGED_IN'
  }

  /** Gives the LUN of a pool up; logs out when the agent logged in, and no other pool and nothing else on this host uses the session. */
  async detach({ poolId, target }: IscsiLun, ctx: OpContext): Promise<'detached' | 'already-detached'> {
    const work = this.#locks.run(keyOf(target), ctx.signal, async () => {
      const record = await this.#environment.sessions.get(poolId)
      if (record === undefined) return 'already-detached'
      await this.#release(poolId, target, record, ctx)
      return 'detached'
    })
    return abortable(work, ctx.signal)
  }

  /**
   * Ends the session of a dead target, so that what waits for it in the maps of `volumeGroup` fails and they can be removed. Whoever calls knows that nothing has them
   * open. SERVER_NOT_ANSWERING where the session is not the agent's to end, or more than this pool is on it.
   */
  async abandon({ poolId, target }: IscsiLun, volumeGroup: string, ctx: OpContext): Promise<void> {
    const work = this.#locks.run(keyOf(target), ctx.signal, async () => {
      const record = await this.#environment.sessions.get(poolId)
      const shared = (await this.#others(poolId, target)).map(([other]) => `pool ${other}`)
      if (record === undefined) return
      const session = await this.#find(target)
      if (session !== undefined && !(await isOurs(record, session))) shared.push('a login of somebody else')
      if (session !== undefined) shared.push(...(await this.#usedDisks(session, volumeGroup)))
      if (shared.length > 0)
        throw notAnswering(target, { why: `its session cannot be ended, because of ${shared.join(', ')}` })
      if (session !== undefined) await logout(session.name, target)
      await this.#forget(poolId, target, record)
    })
    return abortable(work, ctx.signal)
  }

  async #find(target: IscsiTarget): Promise<KernelSession | undefined> {
    const addresses = this.#addresses.get(target.portal.host) ?? []
    return (await readSessions(this.#host.sys)).find((session) => leadsTo(session, target, addresses))
  }

  async #login(lun: IscsiLun, ctx: OpContext, reverter: Reverter): Promise<KernelSession> {
    const { poolId, target, chap } = lun
    const { sessions } = this.#environment
    const before = await this.#inherited(poolId, target, await sessions.get(poolId))
    const found = (await this.#records.present(target)).filter((file) => !this.#records.isMine(file, target))
    const displaced = before.displaced ?? found
    const boot = await bootId()
    const record = { ...nameOf(target), made: { boot }, ...(displaced.length === 0 ? {} : { displaced }) }
    // Before anything is done: after a kill, this tells what to undo and whose the session is.
    await sessions.put(poolId, record)
    reverter.add('log out', () => this.#release(poolId, target, record, ctx))
    await this.#records.write(target, chap)
    const outcome = await login(target)
    const limit = withDeadline(ctx, outcome === 'pending' ? PENDING_TIMEOUT_MS : DISK_TIMEOUT_MS)
    const session = await this.#poll(limit, notAnswering(target), async () => {
      const there = await this.#find(target)
      return there?.state === 'LOGGED_IN' ? there : undefined
    })
    await sessions.put(poolId, { ...record, made: { boot, session: session.name } })
    ctx.log.info(
      { pool: poolId, target: target.name, portal: portalText(target.portal), session: session.name },
      'logged in',
    )
    return session
  }

  // A pool on a session that is there: what another pool of this agent made is made by all of them.
  async #join({ poolId, target }: IscsiLun, session: KernelSession, reverter: Reverter): Promise<void> {
    const { sessions } = this.#environment
    const mine = await sessions.get(poolId)
    const { made, displaced } = await this.#inherited(poolId, target, mine)
    const noted = made !== undefined && (await isOurs({ made }, session))
    // The agent's own records may be lost; the one it left with open-iscsi proves the same.
    const ours = noted || (await this.#records.present(target)).some((file) => this.#records.isMine(file, target))
    const record = {
      ...nameOf(target),
      ...(ours ? { made: { boot: await bootId(), session: session.name } } : {}),
      ...(displaced === undefined ? {} : { displaced }),
    }
    await sessions.put(poolId, record)
    if (mine === undefined) reverter.add('give the session up', () => sessions.delete(poolId))
  }

  // What this pool, or else another one on the target, has noted about the session.
  async #inherited(
    poolId: string,
    target: IscsiTarget,
    mine: IscsiSessionRecord | undefined,
  ): Promise<Pick<IscsiSessionRecord, 'made' | 'displaced'>> {
    if (mine?.made !== undefined && sameTarget(mine, target)) return mine
    const others = await this.#others(poolId, target)
    return others.map(([, record]) => record).find(({ made }) => made !== undefined) ?? {}
  }

  async #others(poolId: string, target: IscsiTarget): Promise<[string, IscsiSessionRecord][]> {
    const entries = await this.#environment.sessions.entries()
    return entries.filter(([id, record]) => id !== poolId && sameTarget(record, target))
  }

  // Independent of the caller, who may be gone: half a logout is worse than a late one.
  async #release(poolId: string, target: IscsiTarget, record: IscsiSessionRecord, ctx: OpContext): Promise<void> {
    const { sessions } = this.#environment
    const [heir] = await this.#others(poolId, target)
    if (heir !== undefined) {
      const { made, displaced } = record
      const passedOn = { ...(made === undefined ? {} : { made }), ...(displaced === undefined ? {} : { displaced }) }
      if (heir[1].made === undefined && made !== undefined) await sessions.put(heir[0], { ...heir[1], ...passedOn })
      await sessions.delete(poolId)
      return
    }
    await this.#logout(poolId, target, (await sessions.get(poolId)) ?? record, ctx)
    await this.#forget(poolId, target, record)
  }

  async #logout(poolId: string, target: IscsiTarget, record: IscsiSessionRecord, ctx: OpContext): Promise<void> {
    const session = await this.#find(target)
    if (session === undefined || !(await isOurs(record, session))) return
    const used = await this.#usedDisks(session)
    if (used.length > 0) {
      ctx.log.warn(
        { pool: poolId, target: target.name, disks: used },
        'the session stays: its disks are used by others',
      )
      return
    }
    await logout(session.name, target)
    ctx.log.info({ pool: poolId, target: target.name, session: session.name }, 'logged out')
  }

  async #forget(poolId: string, target: IscsiTarget, { made, displaced }: IscsiSessionRecord): Promise<void> {
    if (made !== undefined) await this.#records.remove(target)
    await this.#records.restore(displaced ?? [])
    await this.#environment.sessions.delete(poolId)
  }

  async #usedDisks(session: KernelSession, except?: string): Promise<string[]> {
    const mounted = new Set((await readMounts()).map(({ device }) => device))
    const isOwn = (map: string) => except !== undefined && isMapOf(except, map)
    return disksInUse(this.#host.sys, session.name, mounted, isOwn)
  }

  async #disk({ target, lun }: IscsiLun, session: string, ctx: OpContext): Promise<string> {
    const { sys, dev } = this.#host
    let asked = false
    return this.#poll(withDeadline(ctx, DISK_TIMEOUT_MS), missingLun(target, lun), async () => {
      const found = await readLun(sys, session, lun)
      if (found === undefined && (await this.#find(target))?.scanned === true) {
        // The target may have it only since the session began.
        if (asked) throw missingLun(target, lun)
        await rescan(session)
        asked = true
      }
      return found?.disk === undefined ? undefined : lunLink(dev, target, found.disk)
    })
  }

  // Nothing announces these changes but udev, and that not to everybody.
  async #poll<T>({ signal }: OpContext, late: AgentError, look: () => Promise<T | undefined>): Promise<T> {
    for (;;) {
      const value = await look()
      if (value !== undefined) return value
      try {
        await pause(POLL_MS, undefined, { signal })
      } catch (error) {
        const why = toAgentError(signal.reason ?? error)
        throw why.reason === 'DEADLINE_EXCEEDED' ? late : why
      }
    }
  }
}

/** A LUN that the target does not show. */
function missingLun({ name, portal }: IscsiTarget, lun: number): AgentError {
  return new AgentError('DEVICE_MISSING', `target ${name} at ${portalText(portal)} shows this host no LUN ${lun}`)
}

function nameOf({ name, portal }: IscsiTarget): { target: string; portal: string } {
  return { target: name, portal: portalText(portal) }
}

function sameTarget(record: IscsiSessionRecord, target: IscsiTarget): boolean {
  const { target: name, portal } = nameOf(target)
  return record.target === name && record.portal === portal
}

async function isOurs({ made }: Pick<IscsiSessionRecord, 'made'>, session: KernelSession): Promise<boolean> {
  return made !== undefined && made.boot === (await bootId()) && (made.session ?? session.name) === session.name
}

function keyOf(target: IscsiTarget): string {
  return `${portalText(target.portal)} ${target.name}`
}

async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
}
