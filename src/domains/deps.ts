import type { OpContext } from '../core/context.ts'
import type { ImageFacts } from '../images/inspect.ts'
import type { PoolAccess } from '../storage/pool-access.ts'
import type { DomainType } from './definition.ts'
import type { LibvirtCalls } from './libvirt-domain.ts'
import type { MediaKind } from './media-probe.ts'
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

/** What planning and creating VMs needs of the rest of the agent. */
export interface DomainDeps {
  readonly libvirt: LibvirtCalls
  readonly pools: PoolAccess
  /** ImageInspector of the image layer. */
  readonly inspector: { inspect(path: string, ctx: OpContext): Promise<ImageFacts> }
  /** MediaProbe. */
  readonly media: { kind(path: string, root: string, ctx: OpContext): Promise<MediaKind> }
  readonly config: DomainsConfig
}
