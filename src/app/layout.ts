import path from 'node:path'
import type { IdentityPaths } from '../certificates/identity-files.ts'
import type { Config } from './config-schema.ts'

/** Everything below the state directory: the one owner of these names. */
export interface StateLayout {
  readonly root: string
  /** One JSON file per object (0700). */
  readonly store: string
  /** Directory of the unix socket (0700: nobody but root reaches it). */
  readonly run: string
  /** Unix socket of the HTTP API, for root on this host. */
  readonly socket: string
  /** Per VM: cloud-init seed, console log. */
  readonly vms: string
  /** Local pools that name no path: `<localPools>/<poolId>`. */
  readonly localPools: string
  /** Where an earlier agent put local pools. */
  readonly formerLocalPools: readonly string[]
  /** Mount points of pools that name none. */
  readonly mounts: string
  /** `<poolAliases>/<poolId>/images` is what the control plane takes for the directory of pools it knows no mount point of. */
  readonly poolAliases: string
  /** Files with secrets for tools (0700). */
  readonly secrets: string
  /** The audit log, unless the configuration has another place for it (0700). */
  readonly audit: string
  /** What happened on this host (0700). */
  readonly events: string
  /** Downloads on their way into volumes. */
  readonly staging: string
  /** Images that belong to no pool. */
  readonly cloudImages: string
  /** The pool of disks that name none. */
  readonly defaultPool: string
}

/** The layout below `root`; `imagesPath` replaces the directory of images without a pool. */
export function stateLayout(root: string, imagesPath: string | undefined): StateLayout {
  return {
    root,
    store: path.join(root, 'store'),
    run: path.join(root, 'run'),
    socket: path.join(root, 'run', 'agent.sock'),
    vms: path.join(root, 'vms'),
    localPools: path.join(root, 'images'),
    formerLocalPools: [path.join(root, 'pools'), path.join(root, 'local')],
    mounts: path.join(root, 'mnt'),
    poolAliases: path.join(root, 'pools'),
    secrets: path.join(root, 'secrets'),
    audit: path.join(root, 'audit'),
    events: path.join(root, 'events'),
    staging: path.join(root, 'staging'),
    cloudImages: imagesPath ?? path.join(root, 'cloud-images'),
    defaultPool: path.join(root, 'default-pool'),
  }
}

/** Where the host's certificate, its key and the authorities of clients are. */
export function certificatePaths({ server }: Pick<Config, 'server'>): IdentityPaths {
  const { cert_path, key_path, ca_path } = server.http.tls
  return { cert: cert_path, key: key_path, ca: ca_path ?? path.join(path.dirname(cert_path), 'ca.crt') }
}
