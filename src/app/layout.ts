import path from 'node:path'

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
    cloudImages: imagesPath ?? path.join(root, 'cloud-images'),
    defaultPool: path.join(root, 'default-pool'),
  }
}
