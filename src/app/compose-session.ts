import { AssignedPools } from '../controlplane/assigned-pools.ts'
import { HeldTellers } from '../controlplane/held-tellers.ts'
import { ImageSync } from '../controlplane/image-sync.ts'
import type { JoinTokens } from '../controlplane/join-tokens.ts'
import { createControlPlaneLink } from '../controlplane/link.ts'
import type { ClusterSession } from '../controlplane/membership.ts'
import { NameWatch } from '../controlplane/name-watch.ts'
import { realPace } from '../controlplane/pace.ts'
import { createRegistrar } from '../controlplane/registration.ts'
import { hostReport } from '../controlplane/state-report.ts'
import { StateSync } from '../controlplane/state-sync.ts'
import { VmSync } from '../controlplane/vm-sync.ts'
import { errorText } from '../core/errors.ts'
import { vmInfo } from '../domains/domain-entry.ts'
import { GuestAddresses } from '../domains/guest-addresses.ts'
import { runningCount } from '../domains/running-count.ts'
import type { HostInventory } from '../host/inventory.ts'
import type { Telemetry } from '../host/telemetry.ts'
import type { TellableImages } from '../images/library/tellable-images.ts'
import { createConnectClient, type ClientTls } from '../platform/connect-client.ts'
import type { PoolService } from '../services/contracts.ts'
import type { Base } from './compose-base.ts'
import { USER_AGENT } from './version.ts'

/** A conversation with a control plane, and what of it others talk to. */
export type Session = ClusterSession & { readonly imageSync: ImageSync }

/** What a session tells of, besides what all parts stand on. */
export interface SessionParts {
  readonly inventory: HostInventory
  readonly telemetry: Telemetry
  readonly tellable: TellableImages
  readonly poolService: PoolService
  readonly tokens: JoinTokens
  readonly tls: ClientTls
  /** Resolves when all interrupted work is undone; nothing of VMs and images is told before. */
  readonly recovered: Promise<void>
}

/** Prepares the conversation with the control plane at `address`. CONFIG_INVALID for an address that is not a plain http(s) URL. */
export function composeSession(
  address: string,
  { client, config, domains, log, pools, store }: Base,
  { inventory, telemetry, tellable, poolService, tokens, tls, recovered }: SessionParts,
): Session {
  const connect = createConnectClient({
    baseUrl: address,
    userAgent: USER_AGENT,
    tls,
  })
  const assigned = new AssignedPools({
    client: connect,
    pools: {
      known: () => pools.list().map((pool) => pool.config.poolId),
      find: async (poolId, signal) => void (await poolService.info(poolId, signal)),
      init: async (pool, signal) => void (await poolService.init(pool, signal)),
    },
    pace: realPace,
    log,
  })
  const vmSync = new VmSync({
    client: connect,
    vms: {
      list: () => domains.entriesHere().flatMap((entry) => (entry.readable ? [vmInfo(entry, undefined)] : [])),
      onChange: (listener) => domains.onChange(listener),
    },
    importForeign: config.control_plane.import_foreign_vms,
    pace: realPace,
    log,
  })
  const imageSync = new ImageSync({
    client: connect,
    images: tellable,
    store: store.collection('told-images'),
    pace: realPace,
    log,
  })
  const addresses = new GuestAddresses({ client, inventory: domains, log })
  addresses.start()
  const stateSync = new StateSync({
    client: connect,
    vms: {
      read: (signal) => domains.list(signal),
      onChange: (listener) => domains.onChange(listener),
    },
    addresses,
    pools,
    host: async (signal) => hostReport(await inventory.read(signal), telemetry.load()),
    importForeign: config.control_plane.import_foreign_vms,
    store: store.collection('told-states'),
    pace: realPace,
    log,
  })
  const tellers = new HeldTellers(recovered, [vmSync, imageSync, stateSync], log)
  const registrar = createRegistrar({
    client: connect,
    store,
    facts: (signal) => inventory.read(signal),
    labels: config.node.labels,
  })
  const nameWatch = new NameWatch({ client: connect, told: () => registrar.told(), log })
  const link = createControlPlaneLink({
    client: connect,
    registrar,
    source: {
      load: () => telemetry.load(),
      pools: () => pools.list(),
      missingPools: () => assigned.missing(),
      runningVmCount: runningCount(domains),
      stateHash: () => stateSync.stateHash(),
    },
    intervalMs: config.control_plane.heartbeat_interval_secs * 1000,
    log,
    onAnswer(answer) {
      assigned.update(answer)
      nameWatch.answered(answer.nodeId)
      // The registration that is kept back brings one.
      if (answer.requestFullSync && tellers.released) stateSync.requestFullSync()
    },
    onRegistered(nodeId) {
      nameWatch.registered()
      tellers.registered(nodeId)
      tokens.consume().catch((error: unknown) => {
        log.warn({ err: errorText(error) }, 'the registration token could not be taken out of use')
      })
    },
  })
  return {
    baseUrl: connect.baseUrl,
    link,
    registrar,
    imageSync,
    async stop() {
      await link.stop()
      for (const part of [assigned, nameWatch, vmSync, imageSync, stateSync, addresses]) await part.stop()
    },
  }
}
