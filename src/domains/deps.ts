import type { OpContext } from '../core/context.ts'
import type { ImageFacts } from '../images/inspect.ts'
import type { PoolAccess } from '../storage/pool-access.ts'
import type { PoolOverlays } from '../storage/pool-overlays.ts'
import type { DomainType } from './definition.ts'
import type { DomainInventory } from './inventory.ts'
import type { LibvirtCalls } from './libvirt-domain.ts'
import type { MediaKind } from './media-probe.ts'
import type { LeaseKeeper } from './vm-lease.ts'
import type { SplitKeeper } from './vm-split.ts'
import type { NetworkMap } from './networks.ts'

/** What the configuration decides about VMs. */
export interface DomainsConfig {
  readonly agentVersion: string
  /** Seeds and console logs go to `<stateDir>/vms/<id>`. */
  readonly stateDir: string
  /** Pool for disks that name none. */
  readonly defaultPoolId: string
  readonly domainType: 'auto' | DomainType
  /** QEMU binary; absent = libvirt's choice. */
  readonly emulator?: string
  readonly networks: NetworkMap
  /** Directories outside pools whose images, disks and ISOs VMs may use. */
  readonly imageRoots: readonly string[]
  /** Translation cache of each emulated guest in bytes; 0 leaves QEMU's own. */
  readonly tbCacheBytes: number
}

/** What knows all domains of the host. */
export type Domains = Pick<DomainInventory, 'entries'>

/** What planning and creating VMs needs of the rest of the agent. */
export interface DomainDeps {
  readonly libvirt: LibvirtCalls
  readonly pools: PoolAccess
  /** DomainInventory: who writes to a disk now. */
  readonly domains: Domains
  /** ImageInspector of the image layer. */
  readonly inspector: {
    inspect(path: string, ctx: OpContext): Promise<ImageFacts>
    /** Throws IMAGE_CHANGED for a file that is not what the agent recorded of it. */
    recheck(path: string, ctx: OpContext): Promise<void>
  }
  /** MediaProbe. */
  readonly media: { kind(path: string, root: string, ctx: OpContext): Promise<MediaKind> }
  readonly config: DomainsConfig
  /** What stands on files of shared pools, on whichever host. */
  readonly overlays?: Pick<PoolOverlays, 'ofOthers'>
  /** Which other hosts have VMs of shared pools. */
  readonly leases?: LeaseKeeper
  /** Which VMs of this host have their guest at another one, after a migration that broke off. */
  readonly splits?: SplitKeeper
}
