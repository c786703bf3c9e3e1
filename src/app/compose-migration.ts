import { readFile } from 'node:fs/promises'
import type { DomainDeps } from '../domains/deps.ts'
import { IncomingMigrations } from '../domains/migration/incoming.ts'
import { OutgoingMigrations } from '../domains/migration/outgoing.ts'
import { remoteTarget, targetOrigin } from '../domains/migration/remote-target.ts'
import { readTextIfPresent } from '../platform/files.ts'
import { createJsonPoster, type PeerTls } from '../platform/json-poster.ts'
import { createMigrationService } from '../services/migration-service.ts'
import type { Base } from './compose-base.ts'
import type { Config } from './config-schema.ts'
import { securityMode } from './config.ts'
import { certificatePaths } from './layout.ts'
import { USER_AGENT } from './version.ts'

/** Builds both sides of migrations. `managementAddress` is that of this host. */
export function composeMigration(
  { agentId, client, config, domains, log, operations }: Base,
  deps: DomainDeps,
  managementAddress: (signal: AbortSignal) => Promise<string>,
) {
  const { address, tls, accept_unannounced: acceptUnannounced } = config.migration
  const parts = { deps, client, agentId }
  const mtls = securityMode(config) === 'mtls'
  const incoming = new IncomingMigrations({
    parts,
    operations,
    inventory: domains,
    address: address === undefined ? managementAddress : () => Promise.resolve(address),
    acceptUnannounced,
    log,
  })
  const outgoing = new OutgoingMigrations({
    parts,
    operations,
    inventory: domains,
    connect: (target) => {
      const origin = targetOrigin(target, mtls)
      return remoteTarget(
        origin,
        createJsonPoster(origin, USER_AGENT, () => peerTls(config, mtls)),
      )
    },
    tls,
    log,
  })
  return createMigrationService({ incoming, outgoing, operations, libvirt: client })
}

// The certificate of this host is what it proves itself with to other hosts as well; read anew for each migration, since it may have been replaced.
async function peerTls(config: Config, mtls: boolean): Promise<PeerTls> {
  const paths = certificatePaths(config)
  const ca = await readTextIfPresent(paths.ca)
  const trust = ca === undefined ? {} : { ca: [ca] }
  if (!mtls) return trust
  return { ...trust, cert: await readFile(paths.cert, 'utf8'), key: await readFile(paths.key, 'utf8') }
}
