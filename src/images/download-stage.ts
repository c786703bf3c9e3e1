import type { DiskFormat } from '../core/model.ts'
import type { OperationContext } from '../operations/operation.ts'
import type { ConfinementKind } from '../platform/confinement.ts'
import type { PoolAccess } from '../storage/pool-access.ts'
import type { Bandwidth } from './bandwidth.ts'
import type { CredentialBook } from './credentials.ts'
import type { DownloadParams, DownloadSettings } from './download-plan.ts'
import type { DownloadSpace } from './download-space.ts'
import type { FetchRules } from './fetch-rules.ts'
import type { ImageTarget } from './image-target.ts'
import type { ImageVolumes } from './image-volume.ts'
import type { ImageFacts, JudgedImage as ForeignImage } from './inspect.ts'
import type { ResolvedProof } from './proof/resolve.ts'
import type { Reservations } from '../storage/reservations.ts'
import type { TransferClient } from './transfer-client.ts'
import type { TransferPlace } from './transfer-slots.ts'
import type { Digests } from './verify.ts'

/** What a finished download left in the target's place. `reused`: it was there before. */
export interface DownloadResult {
  readonly sizeBytes: number
  readonly format: DiskFormat
  readonly virtualSizeBytes: number
  readonly digests: Digests
  readonly reused: boolean
  /** How qemu-img was confined while it wrote the image; absent when it did not. */
  readonly confinement?: ConfinementKind
}

/** Only tells that an earlier run began; what it left is found by its names. */
export interface DownloadJournal {
  readonly begun: true
}

export interface DownloadDeps {
  readonly pools: PoolAccess
  readonly volumes: ImageVolumes
  readonly settings: DownloadSettings
  /** What divides the network; without it nothing is limited. */
  readonly bandwidth?: Bandwidth
  /** Where the credentials of jobs are; without it no job has any. */
  readonly credentials?: CredentialBook
  /** What jobs and uploads were promised in directories that belong to no pool. */
  readonly localSpace: Reservations
  /** Version of the agent, for manifests. */
  readonly agentVersion: string
  /** A new transfer worker; the job closes it at its end. */
  readonly openClient: (jobId: string) => TransferClient
}

/** One run of one job, as every stage of it sees it. */
export interface DownloadRun {
  readonly params: DownloadParams
  readonly target: ImageTarget
  /** What the source and the image inside must be. */
  readonly proof: ResolvedProof
  /** How its bytes are fetched. */
  readonly rules: FetchRules
  /** The job's own worker process. */
  readonly client: TransferClient
  readonly ctx: OperationContext<DownloadJournal>
  readonly deps: DownloadDeps
  /** Its place among the transfers of this host; held when the run begins. */
  readonly slot: TransferPlace
  /** Space promised to this run; given back at its end. */
  readonly space: DownloadSpace
  /** Notes the bytes of the present phase, for the rate. */
  readonly onBytes: (total: number) => void
}

/** Exactly the bytes of the source, durable, in a file of the target's directory. */
export interface ReceivedFile {
  /** Name in the target's directory. */
  readonly temp: string
  readonly bytes: number
  /** Of these bytes. */
  readonly digests: Digests
  /** Where redirects led, without query. */
  readonly finalUrl: string
}

/** The image on its way: each stage takes the one of the stage before. */
export interface StagedImage {
  /** Name, in the target's directory, of the durable file that would be published now. */
  readonly temp: string
  readonly bytes: number
  /** Of the file `temp`. */
  readonly digests: Digests
  /** What it was made from; the same file until a stage makes another one. */
  readonly source: ReceivedFile
  /** The disk image that was inside the source, once it was taken out; it was judged and proven before it was converted. */
  readonly unwrapped?: Pick<ReceivedFile, 'temp' | 'bytes' | 'digests'>
  /** What was taken off the source, outermost first; absent when it was not wrapped. */
  readonly layers?: readonly string[]
}

/** An image of any known format after it was judged. */
export type ForeignStaged = StagedImage & { readonly judged: ForeignImage }

/** An image in the format it is stored in, after it was judged. */
export type JudgedImage = ForeignStaged & {
  readonly facts: ImageFacts
  /** How qemu-img was confined, if it converted the image. */
  readonly converter?: ConfinementKind
}

/**
 * A step between receiving and publishing. It is run again after a crash: what an earlier run left besides the received file is swept before. New files are named by `tempName` of the target, and go with the job.
 */
export type DownloadStage<In extends StagedImage = StagedImage, Out extends StagedImage = StagedImage> = (
  image: In,
  run: DownloadRun,
) => Promise<Out>
