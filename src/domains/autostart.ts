import { readFile } from 'node:fs/promises'
import type { Logger, OpContext } from '../core/context.ts'
import { errorText, toAgentError } from '../core/errors.ts'
import type { LibvirtClient } from '../libvirt/client.ts'
import type { OperationManager } from '../operations/manager.ts'
import type { OperationHandler } from '../operations/operation.ts'
import { delay, monotonicMs } from '../platform/clock.ts'
import type { StateCollection } from '../platform/state-store.ts'
import type { DomainDeps } from './deps.ts'
import type { DomainInventory } from './inventory.ts'
import { isOff } from './libvirt-domain.ts'
import type { DomainPower } from './power.ts'

/** Kind of the operation in the journal. */
export const AUTOSTART_KIND = 'vm.autostart'

interface AutostartParams {
  readonly bootId: string
}

/** VMs that have had their start since the host has booted. */
interface AutostartJournal {
  readonly done: readonly string[]
}

/** What became of it, by VM id. */
export interface AutostartResult {
  readonly started: readonly string[]
  readonly failed: Readonly<Record<string, string>>
}

export interface AutostarterOptions {
  readonly deps: Pick<DomainDeps, 'pools'>
  readonly client: Pick<LibvirtClient, 'ready'>
  readonly inventory: DomainInventory
  readonly power: Pick<DomainPower, 'start'>
  readonly operations: OperationManager
  /** Keeps the last boot that was seen. */
  readonly boots: StateCollection<AutostartParams>
  readonly log: Logger
  /** Read anew at every start of the agent; another one for each boot of the host. */
  readonly readBootId?: () => Promise<string>
  /** How long a VM whose pools or network are not there yet is tried again; default 15 minutes. */
  readonly patienceMs?: number
}

const PATIENCE_MS = 15 * 60_000
const PAUSE_MS = 5_000
const LAST = 'last'

/**
 * Starts the VMs that are marked for it, once after each boot of the host, when the pools of their disks are active. A restart of the agent goes on with those that had no turn and starts none twice: what was shut down
 * since stays off.
 */
export class Autostarter {
  readonly #options: AutostarterOptions

  constructor(options: AutostarterOptions) {
    this.#options = options
    options.operations.register(this.#handler())
  }

  /** Begins, if the host was booted since the last time; the work is an operation. Call it when operations are recovered. */
  async begin(): Promise<void> {
    const { boots, operations, readBootId = bootId } = this.#options
    const params = { bootId: await readBootId() }
    if ((await boots.get(LAST))?.bootId === params.bootId) return
    // A kill between the two finds the operation under its key.
    await operations.start(AUTOSTART_KIND, params, {
      subject: 'host',
      dedupeKey: `${AUTOSTART_KIND}:${params.bootId}`,
      locks: [],
    })
    await boots.put(LAST, params)
  }

  #handler(): OperationHandler<AutostartParams, AutostartResult, AutostartJournal> {
    return {
      kind: AUTOSTART_KIND,
      onRestart: 'resume',
      onShutdown: 'interrupt',
      run: async (_params, ctx) => {
        const { client, inventory, log, patienceMs = PATIENCE_MS } = this.#options
        await client.ready(ctx.signal)
        await inventory.listedOnce(ctx.signal)
        const done = new Set(ctx.journal?.done)
        const started: string[] = []
        const failed: Record<string, string> = {}
        const deadline = monotonicMs() + patienceMs
        for (;;) {
          const waiting = await this.#waiting(done, ctx)
          for (const vmId of waiting) {
            try {
              await this.#start(vmId, ctx)
              started.push(vmId)
            } catch (error) {
              ctx.signal.throwIfAborted()
              failed[vmId] = errorText(error)
              if (mayStillWork(error) && monotonicMs() < deadline) continue
              log.error({ vm: vmId, err: errorText(error) }, 'a VM could not be started after the boot of this host')
              done.add(vmId)
              await ctx.save({ done: [...done] })
              continue
            }
            delete failed[vmId]
            done.add(vmId)
            await ctx.save({ done: [...done] })
          }
          if (waiting.every((vmId) => done.has(vmId))) return { started, failed }
          await delay(PAUSE_MS, ctx.signal)
        }
      },
    }
  }

  // Without a connection they are asked for again later.
  async #waiting(done: ReadonlySet<string>, ctx: OpContext): Promise<string[]> {
    const { client, inventory } = this.#options
    await client.ready(ctx.signal)
    return inventory
      .entries()
      .filter(({ facts, state }) => facts.autostart && isOff(state) && !done.has(facts.vmId))
      .sort((a, b) => (a.facts.name < b.facts.name ? -1 : 1))
      .map(({ facts }) => facts.vmId)
  }

  async #start(vmId: string, ctx: OpContext): Promise<void> {
    const { deps, inventory, power } = this.#options
    const { facts } = await inventory.entry(vmId, ctx.signal)
    for (const poolId of new Set(facts.disks.map((disk) => disk.poolId))) {
      if (poolId !== '') await deps.pools.require(poolId, ctx)
    }
    await power.start(vmId, ctx.signal)
  }
}

// Storage and networks come up after the agent does.
function mayStillWork(error: unknown): boolean {
  return !['NOT_FOUND', 'INVALID_ARGUMENT', 'ABORTED', 'DATA_LOSS'].includes(toAgentError(error).code)
}

async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim()
}
