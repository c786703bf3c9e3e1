import type { OpContext } from '../core/context.ts'
import { AgentError, isAgentError } from '../core/errors.ts'
import { KeyedLock } from '../core/keyed-lock.ts'
import { run, type CommandResult } from '../platform/exec.ts'
import { readAttribute } from '../platform/sysfs.ts'
import { deviceTrouble, resolveDevice } from './device-state.ts'
import { GROUP_REPORT, parseGroup, type VolumeGroup } from './lvm-report.ts'

/** Where a volume group is, and how to speak of it. */
export interface LvmPlace {
  readonly volumeGroup: string
  /** Stable names of its block devices; absent when LVM is to look for them on the whole host. */
  readonly devices?: (ctx: OpContext) => Promise<readonly string[]>
  readonly silent?: (why: string) => AgentError
}

interface LvmCommand {
  readonly file: string
  readonly args: readonly string[]
  readonly timeoutMs: number
  readonly package: string
  /** It writes: it is never cut in the middle of that. */
  readonly writes: boolean
}

/**
 * Whatever the host's lvm.conf says. No dmeventd: the agent watches the pool itself, and a daemon would be its child. Volumes are never searched for the volume groups of
 * guests. A full thin pool fails writes at once with ENOSPC, at which QEMU pauses the guest, instead of letting them hang. `issue_discards` concerns removed linear
 * volumes, which may be the admin's. Old metadata is kept (/etc/lvm/archive), but not for ever.
 */
export const LVM_SETTINGS = [
  'activation/monitoring=0',
  'activation/error_when_full=1',
  'activation/auto_set_activation_skip=0',
  'devices/scan_lvs=0',
  'devices/issue_discards=0',
  'global/notify_dbus=0',
  'backup/retain_min=20',
  'backup/retain_days=0',
].join(' ')

const READ_TIMEOUT_MS = 20_000
const WRITE_TIMEOUT_MS = 120_000
/** LVM holds TERM back while it changes something; a KILL there leaves suspended devices. */
const WRITE_GRACE_MS = 30_000

/** Commands of lvm(8) and its like on one volume group: one at a time, on its devices only, never while one of them is known not to answer. */
export class Lvm {
  readonly #place: LvmPlace
  readonly #lock = new KeyedLock()
  /** Devices of the last report, for a volume group whose devices are not given. */
  #seen: readonly string[] = []
  #stuckPid: string | undefined

  constructor(place: LvmPlace) {
    this.#place = place
  }

  /** The volume group as it is now; undefined when it is not on the devices. DEVICE_MISSING, `silent`. */
  async read(ctx: OpContext): Promise<VolumeGroup | undefined> {
    const found = await this.#report(ctx)
    if (this.#place.devices !== undefined) return found
    const complete = found !== undefined && found.missingDevices === 0
    // It may have moved to other disks.
    if (!complete && this.#seen.length > 0) {
      this.#seen = []
      return this.read(ctx)
    }
    this.#seen = found?.devices ?? []
    return found
  }

  /** Runs an LVM command that only reads. */
  async query(args: readonly string[], ctx: OpContext, okCodes: readonly number[] = []): Promise<string> {
    return (await this.#lvm(args, false, ctx, okCodes)).stdout
  }

  /** Runs an LVM command that changes something. VOLUME_IN_USE, POOL_FULL, those of `run`. When `ctx.signal` fires it still ends in order. */
  async change(args: readonly string[], ctx: OpContext): Promise<void> {
    await this.#lvm(args, true, ctx, [])
  }

  /** Runs another tool that looks at a device (kernel name) under the same precautions. */
  async inspect(file: string, args: readonly string[], ctx: OpContext): Promise<string> {
    const command = { file, args, package: 'util-linux', timeoutMs: READ_TIMEOUT_MS, writes: false }
    return (await this.#alone(ctx, () => this.#run(command, ctx, []))).stdout
  }

  /** Kernel names of the devices: the given ones, else those of the last report. DEVICE_MISSING. */
  async devices(ctx: OpContext): Promise<readonly string[]> {
    if (this.#place.devices === undefined) return this.#seen
    return Promise.all((await this.#place.devices(ctx)).map(resolveDevice))
  }

  async #report(ctx: OpContext): Promise<VolumeGroup | undefined> {
    const { volumeGroup } = this.#place
    try {
      return parseGroup(await this.query([...GROUP_REPORT, volumeGroup], ctx))
    } catch (error) {
      if (isAgentError(error, 'COMMAND_FAILED') && /Volume group "?[^" ]*"? not found/.test(error.message))
        return undefined
      throw error
    }
  }

  async #lvm(
    args: readonly string[],
    writes: boolean,
    ctx: OpContext,
    okCodes: readonly number[],
  ): Promise<CommandResult> {
    const timeoutMs = writes ? WRITE_TIMEOUT_MS : READ_TIMEOUT_MS
    return this.#alone(ctx, (devices) => {
      const only = devices.length === 0 ? [] : ['--devices', devices.join(',')]
      const [command = '', ...rest] = args
      const all = [command, '--config', LVM_SETTINGS, ...only, ...rest]
      return this.#run({ file: 'lvm', args: all, package: 'lvm2', timeoutMs, writes }, ctx, okCodes)
    })
  }

  async #alone<T>(ctx: OpContext, work: (devices: readonly string[]) => Promise<T>): Promise<T> {
    return this.#lock.run('', ctx.signal, async () => {
      const devices = await this.devices(ctx)
      for (const device of devices) {
        const trouble = await deviceTrouble(device)
        if (trouble !== undefined) throw this.#silent(trouble)
      }
      await this.#refuseWhileStuck()
      return work(devices)
    })
  }

  async #run({ writes, ...command }: LvmCommand, ctx: OpContext, okCodes: readonly number[]): Promise<CommandResult> {
    try {
      const grace = writes ? { killGraceMs: WRITE_GRACE_MS } : {}
      return await run({ ...command, ...grace, env: { LVM_SUPPRESS_FD_WARNINGS: '1' }, okCodes }, ctx.signal)
    } catch (error) {
      throw this.#translated(error, command.args[0] ?? '', ctx)
    }
  }

  #translated(error: unknown, what: string, ctx: OpContext): unknown {
    if (isAgentError(error, 'COMMAND_STUCK')) this.#stuckPid = error.details['pid']
    // Whatever ended a command that hangs, it is the devices that do not answer.
    if (isAgentError(error, 'COMMAND_STUCK', 'DEADLINE_EXCEEDED') && !ctx.signal.aborted) {
      return this.#silent(`the disks of volume group ${this.#place.volumeGroup} do not answer: ${error.message}`)
    }
    if (!isAgentError(error, 'COMMAND_FAILED')) return error
    const { message } = error
    const group = this.#place.volumeGroup
    const words = message.replace(/^lvm ended/, `lvm ${what} ended`)
    const as = (reason: 'VOLUME_IN_USE' | 'POOL_FULL' | 'COMMAND_FAILED', text: string) =>
      new AgentError(reason, text, { cause: error, details: error.details })
    if (/ in use|is used by another device/i.test(message)) {
      return as('VOLUME_IN_USE', `a volume of ${group} is open, so LVM leaves it: ${words}`)
    }
    if (/insufficient (?:free|suitable)|not enough free|out of .*space|free space in pool/i.test(message)) {
      return as('POOL_FULL', `volume group ${group} has too little space: ${words}`)
    }
    return as('COMMAND_FAILED', words)
  }

  // At most one command of a pool hangs in the kernel.
  async #refuseWhileStuck(): Promise<void> {
    if (this.#stuckPid === undefined) return
    // The fourth field of stat(5) of proc is the parent: another process with that number is not our child.
    const stat = await readAttribute('/proc', this.#stuckPid, 'stat')
    const parent = stat
      .slice(stat.lastIndexOf(')') + 1)
      .trim()
      .split(' ')[1]
    if (parent === String(process.pid)) {
      throw this.#silent(
        `a command on volume group ${this.#place.volumeGroup} hangs in the kernel (process ${this.#stuckPid})`,
      )
    }
    this.#stuckPid = undefined
  }

  #silent(why: string): AgentError {
    return this.#place.silent?.(why) ?? new AgentError('DEVICE_MISSING', why)
  }
}
