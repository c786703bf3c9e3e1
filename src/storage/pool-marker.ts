import { z } from 'zod'
import type { PoolKind } from '../core/model.ts'

/** File in the root of every file pool that proves which pool it is. */
export const MARKER_FILE = '.limiquantix-pool.json'
/** Directory in the root of every file pool with the agent's records; never shown to callers. */
export const RECORDS_DIRECTORY = '.limiquantix'

const KINDS = ['LOCAL_DIR', 'LOCAL_LVM', 'NFS', 'CEPH_RBD', 'CEPH_FS', 'ISCSI'] as const satisfies readonly PoolKind[]

const schema = z.object({
  version: z.literal(1),
  poolId: z.string().min(1),
  /** New for every initialisation, so that an older copy of the same pool is not taken for it. */
  generation: z.string().min(1),
  kind: z.enum(KINDS),
  /** True when the agent made the directory, so that it may remove it again once it is empty. */
  madeDirectory: z.boolean(),
})

/** Content of the marker file. */
export type PoolMarker = Readonly<z.infer<typeof schema>>

/** The marker in `text`, or undefined when it is not one. */
export function parseMarker(text: string): PoolMarker | undefined {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return undefined
  }
  const parsed = schema.safeParse(json)
  return parsed.success ? parsed.data : undefined
}
