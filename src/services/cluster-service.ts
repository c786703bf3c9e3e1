import type { JoinTokens } from '../controlplane/join-tokens.ts'
import type { ClusterSession, Membership } from '../controlplane/membership.ts'
import { testConnection } from '../controlplane/test-connection.ts'
import type { PoolInfo } from '../core/model.ts'
import type { Hardware } from '../host/hardware.ts'
import type { HostInventory } from '../host/inventory.ts'
import type { ClientTls } from '../platform/connect-client.ts'
import type { ClusterService } from './contracts.ts'

export interface ClusterServiceOptions {
  readonly tokens: JoinTokens
  readonly membership: Membership<ClusterSession>
  readonly inventory: HostInventory
  readonly hardware: Hardware
  /** Pools with their last observations; must answer at once. */
  readonly pools: () => readonly PoolInfo[]
  readonly userAgent: string
  /** Of connections to control planes. */
  readonly tls?: ClientTls
}

const DISCOVERY_TIMEOUT_MS = 20_000

/** Tokens, discovery, join and leave. */
export function createClusterService(options: ClusterServiceOptions): ClusterService {
  const { tokens, membership, inventory, hardware } = options
  return {
    createToken: (groups) => tokens.create(groups),
    checkToken: (token) => tokens.check(token),
    async discover(caller) {
      // A control plane waits for 30 s.
      const signal = AbortSignal.any([caller, AbortSignal.timeout(DISCOVERY_TIMEOUT_MS)])
      const host = await inventory.read(signal)
      const sizes = options.pools().map(({ mountPath, observation }) => [mountPath, observation] as const)
      return { host, hardware: await hardware.read(host, signal), sizes: new Map(sizes) }
    },
    status: () => membership.status(),
    async join(controlPlane, clusterName, signal) {
      const status = await membership.join(controlPlane, clusterName, signal)
      await tokens.consume()
      return status
    },
    leave: () => membership.leave(),
    test: (controlPlane, signal) => testConnection(controlPlane, options.userAgent, signal, options.tls),
  }
}
