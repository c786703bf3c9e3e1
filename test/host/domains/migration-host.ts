import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { silentLogger, type Logger } from '../../../src/core/context.ts'
import { abortable } from '../../../src/core/keyed-lock.ts'
import type { MigrationRequest, PoolConfig } from '../../../src/core/model.ts'
import { domainRef } from '../../../src/domains/libvirt-domain.ts'
import { IncomingMigrations } from '../../../src/domains/migration/incoming.ts'
import type { MigrationTarget } from '../../../src/domains/migration/messages.ts'
import { OutgoingMigrations } from '../../../src/domains/migration/outgoing.ts'
import { remoteTarget, targetOrigin } from '../../../src/domains/migration/remote-target.ts'
import { startHttpServer } from '../../../src/http/server.ts'
import { isHole } from '../../../src/libvirt/stream.ts'
import { createJsonPoster } from '../../../src/platform/json-poster.ts'
import type { MigrationService } from '../../../src/services/contracts.ts'
import { createMigrationService } from '../../../src/services/migration-service.ts'
import { fakeServices } from '../../unit/grpc/fake-services.ts'
import { context, openAgent, within, type AgentParts, type OpenOptions } from './agent-fixture.ts'

/** The pool that all hosts see; the other one of the fixture (POOL) is on each host alone. */
export const SHARED = 'shared'

/** Where the listeners are: at no address of others, so that a port stays free while its agent is away. */
export const LISTEN_HOST = '127.0.8.1'

/** One host of a migration: an agent with a libvirt of its own, and its HTTP listener. */
export interface MigrationHost extends AgentParts {
  readonly libvirtDir: string
  readonly migrations: MigrationService
  /** Origin of its listener. */
  readonly origin: string
  /** Ends the listener as well. */
  close(): Promise<void>
}

export interface MigrationHostOptions extends OpenOptions {
  /** Directory of the pool that all see. */
  readonly shared: string
  /** The pool is known, and not to be had at the start. */
  readonly sharedIsAway?: boolean
  /** 0: any. */
  readonly port?: number
  readonly lostMs?: number
  /** As `migration.tls`. */
  readonly tls?: boolean
  readonly acceptUnannounced?: boolean
  readonly onMigrationStep?: (name: string) => void
  readonly onIncomingStep?: (name: string) => void
  /** Between the source and what it asks of a target. */
  readonly aroundTarget?: (target: MigrationTarget) => MigrationTarget
  /** Around what this host does as a target. */
  readonly asTarget?: (target: MigrationTarget) => MigrationTarget
  readonly log?: Logger
}

/** What the pool that all hosts see is initialised with. */
export function sharedPool(directory: string): PoolConfig {
  return { poolId: SHARED, kind: 'LOCAL_DIR', options: { path: directory } }
}

/** Opens the agent of a host, as a fresh process does. */
export async function openMigrationHost(
  base: string,
  libvirtDir: string,
  options: MigrationHostOptions,
): Promise<MigrationHost> {
  const {
    shared,
    port = 0,
    lostMs,
    acceptUnannounced = true,
    tls = false,
    onMigrationStep,
    onIncomingStep,
    aroundTarget,
    asTarget,
  } = options
  const log = options.log ?? silentLogger
  let service: MigrationService | undefined
  const agent = await openAgent(base, libvirtDir, {
    ...options,
    beforeRecovery: async ({ deps, client, operations, inventory, pools }) => {
      if (options.sharedIsAway === true) await pools.observedOnce(within())
      else await pools.init(sharedPool(shared), context())
      const parts = { deps, client, agentId: base }
      const incoming = new IncomingMigrations({
        parts,
        operations,
        inventory,
        address: () => Promise.resolve('127.0.0.1'),
        acceptUnannounced,
        log,
        ...(lostMs === undefined ? {} : { lostMs }),
        ...(onIncomingStep === undefined ? {} : { afterStep: onIncomingStep }),
      })
      const outgoing = new OutgoingMigrations({
        parts,
        operations,
        inventory,
        connect: (target) => {
          const origin = targetOrigin(target, false)
          const remote = remoteTarget(
            origin,
            createJsonPoster(origin, 'test', () => Promise.resolve({})),
          )
          return aroundTarget === undefined ? remote : aroundTarget(remote)
        },
        tls,
        log,
        ...(onMigrationStep === undefined ? {} : { afterStep: onMigrationStep }),
      })
      const made = createMigrationService({ incoming, outgoing, operations, libvirt: client })
      service = asTarget === undefined ? made : { ...made, target: asTarget(made.target) }
    },
  })
  if (service === undefined) throw new Error('the fixture opened no migrations')
  const migrations = service
  const server = await startHttpServer({
    services: { ...fakeServices(), migrations },
    listen: { host: LISTEN_HOST, port },
    log: silentLogger,
  })
  return {
    ...agent,
    libvirtDir,
    migrations,
    origin: server.address,
    close: async () => {
      await server.close(0)
      await agent.close()
    },
  }
}

/** A request to move a VM to another host of this kind. */
export function migrationTo(
  target: Pick<MigrationHost, 'origin'>,
  vmId: string,
  part: Partial<MigrationRequest> = {},
): MigrationRequest {
  return { vmId, target: target.origin, live: true, copyStorage: false, options: {}, ...part }
}

/** For `aroundTarget`: a target at which QEMU waits for the guest, and whose answer to that does not come. `waits` resolves when that is so. */
export function heldPrepared(): { waits: Promise<void>; around(target: MigrationTarget): MigrationTarget } {
  const waits = Promise.withResolvers<void>()
  const prepare =
    (target: MigrationTarget): MigrationTarget['prepare'] =>
    async (...args) => {
      await target.prepare(...args)
      waits.resolve()
      return abortable(new Promise(() => undefined), args[2])
    }
  return { waits: waits.promise, around: (target) => ({ ...target, prepare: prepare(target) }) }
}

/** Begins a migration and waits for its end; throws what it ended with. */
export async function migrate(source: MigrationHost, request: MigrationRequest): Promise<{ downtimeMs?: number }> {
  const { jobId } = await source.migrations.start(request, within())
  return source.operations.result(jobId, within(120))
}

/** Sends a byte to a guest that echoes (boot-sector.ts) and waits for it: the guest goes on, and has not been started anew when BOOTED stands in its log once. */
export async function echoes({ client }: Pick<AgentParts, 'client'>, vmId: string, byte: string): Promise<boolean> {
  const args = { dom: domainRef(vmId), dev_name: null, flags: 0 }
  const stream = await client.openStream('remote:DOMAIN_OPEN_CONSOLE', args, { idleTimeoutMs: 20_000 })
  try {
    await stream.write(Buffer.from(byte))
    for (;;) {
      const piece = await stream.read()
      if (piece === undefined) return false
      if (!isHole(piece) && Buffer.from(piece).includes(byte)) return true
    }
  } finally {
    await stream.abort()
  }
}

/** How often the guest of a host has begun anew. */
export async function boots({ base }: Pick<AgentParts, 'base'>, vmId: string): Promise<number> {
  const text = await readFile(path.join(base, 'state/vms', vmId, 'console.log'), 'utf8')
  return text.split('BOOTED').length - 1
}

/** State of a VM on a host; `absent` when libvirt has none. */
export async function stateOn({ vms }: Pick<AgentParts, 'vms'>, vmId: string): Promise<string> {
  return vms.status(vmId, within()).then(
    ({ state }) => state,
    (error: { reason?: string }) => {
      if (error.reason === 'VM_NOT_FOUND') return 'absent'
      throw error
    },
  )
}
