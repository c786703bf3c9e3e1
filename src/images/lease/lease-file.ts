import { quote } from '../../core/ids.ts'
import { isFiniteNumber, isShape, isText } from '../../core/shape.ts'
import { LeaseFiles, type LeaseFile } from '../../storage/worker/lease-files.ts'

/** What a lease on an image says: who makes it now, and how far. */
export interface LeaseFacts {
  /** Agent id of the host. */
  readonly holder: string
  readonly jobId: string
  /** Another one at every sign of life. */
  readonly counter: number
  readonly phase: string
  readonly bytesDone: number
  /** 0 = unknown. */
  readonly bytesTotal: number
}

/** A lease on an image as it is in the directory. */
export type ImageLease = LeaseFile<LeaseFacts>

const isFacts = isShape<LeaseFacts>({
  holder: isText,
  jobId: isText,
  counter: isFiniteNumber,
  phase: isText,
  bytesDone: isFiniteNumber,
  bytesTotal: isFiniteNumber,
})

/** Leases on images that are being made, beside them. */
export const imageLeases = new LeaseFiles(isFacts, (fileName) => `the download of ${quote(fileName)}`)
