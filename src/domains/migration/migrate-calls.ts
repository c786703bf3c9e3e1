import type { MigrationRequest } from '../../core/model.ts'
import { VIR_MIGRATE, VIR_MIGRATE_PARAM } from '../../libvirt/constants.ts'
import type { DedicatedConnection } from '../../libvirt/dedicated-connection.ts'
import { typedParam } from '../../libvirt/typed-params.ts'
import type { RemoteTypedParam } from '../../libvirt/wire/remote-types.gen.ts'
import { domainRef } from '../libvirt-domain.ts'

const CONFIRM_TIMEOUT_MS = 120_000

/** Ends the source's part, when the guest has moved or (`cancelled` 1) has not. Errors: LIBVIRT_*. */
export async function confirm(
  dedicated: DedicatedConnection,
  vmId: string,
  flags: number,
  cookie: string,
  cancelled: 0 | 1,
): Promise<void> {
  await dedicated.call(
    'remote:DOMAIN_MIGRATE_CONFIRM3_PARAMS',
    {
      dom: domainRef(vmId),
      params: [],
      cookie_in: Buffer.from(cookie, 'base64'),
      flags: flags | VIR_MIGRATE.CHANGE_PROTECTION,
      cancelled,
    },
    { timeoutMs: CONFIRM_TIMEOUT_MS },
  )
}

/**
 * The VIR_MIGRATE flags of a request (virDomainMigrateFlags). UNSAFE leaves to us what libvirt judges by names of file systems: that both hosts see the same volume is proved by the marker of its pool, and its cache is looked at.
 */
export function flagsOf(
  { live, options }: MigrationRequest,
  how: { readonly copies: boolean; readonly paused: boolean; readonly tls: boolean },
): number {
  return (
    VIR_MIGRATE.PERSIST_DEST |
    VIR_MIGRATE.UNSAFE |
    VIR_MIGRATE.ABORT_ON_ERROR |
    (live ? VIR_MIGRATE.LIVE : 0) |
    (how.paused ? VIR_MIGRATE.PAUSED : 0) |
    (how.copies ? VIR_MIGRATE.NON_SHARED_DISK : 0) |
    (options.autoConverge === true ? VIR_MIGRATE.AUTO_CONVERGE : 0) |
    (options.postCopyAfterMs === undefined ? 0 : VIR_MIGRATE.POSTCOPY) |
    (how.tls ? VIR_MIGRATE.TLS : 0)
  )
}

/** The parameters of a request that limit its transfer, before the switch and after one that has left memory behind. */
export function limitsOf({ options: { bandwidthMibps, postCopyAfterMs } }: MigrationRequest): RemoteTypedParam[] {
  if (bandwidthMibps === undefined) return []
  const { BANDWIDTH, BANDWIDTH_POSTCOPY } = VIR_MIGRATE_PARAM
  const limited = postCopyAfterMs === undefined ? [BANDWIDTH] : [BANDWIDTH, BANDWIDTH_POSTCOPY]
  return limited.map((name) => typedParam.ullong(name, BigInt(bandwidthMibps)))
}
