import { z } from 'zod'
import type {
  MigrationOffer,
  MigrationOutcome,
  OfferCheck,
  OfferedFile,
  OpenedMigration,
  PreparedMigration,
} from './messages.ts'

/** The messages of migrations as they travel: the same schemas at both ends. */

const MAX_XML = 2 * 1024 * 1024
const MAX_COOKIE = 1024 * 1024
const MAX_FILE = 6 * 1024 * 1024
const MAX_DEVICES = 256
/** Of a VM that moves. */
export const MAX_SNAPSHOTS = 256
const short = z.string().max(4096)
const count = z.int().nonnegative()
/** As parseUuid reads it: libvirt has UUIDs that are of no version. */
export const uuidSchema = z.guid().toLowerCase()

export const offerSchema: z.ZodType<MigrationOffer> = z.object({
  id: uuidSchema,
  vmId: uuidSchema,
  name: short,
  off: z.boolean().default(false),
  liveXml: z.string().max(MAX_XML),
  configXml: z.string().max(MAX_XML),
  memoryBytes: count,
  paused: z.boolean(),
  copyStorage: z.boolean(),
  disks: z
    .array(
      z.object({
        target: short,
        poolId: short,
        volume: short,
        place: short,
        format: z.enum(['qcow2', 'raw']),
        virtualSizeBytes: count,
        generation: short,
        cache: short,
      }),
    )
    .max(MAX_DEVICES),
  snapshots: z
    .array(z.object({ name: short, xml: z.string().max(MAX_XML), current: z.boolean() }))
    .max(MAX_SNAPSHOTS)
    .default([]),
  directory: short,
  host: z.object({
    agentId: short,
    libVersion: count,
    qemuVersion: count,
    cpuXml: z.string().max(MAX_XML),
  }),
})

export const filesSchema: z.ZodType<OfferedFile[]> = z
  .array(z.object({ name: short, content: z.base64().max(MAX_FILE) }))
  .max(8)

export const consoleTailSchema = z.base64().max(2 * 1024 * 1024)
export const cookieSchema = z.base64().max(MAX_COOKIE)
export const xmlSchema = z.string().max(MAX_XML)

export const checkSchema: z.ZodType<OfferCheck> = z.object({
  problems: z.array(z.string()),
  copy: z.array(z.string()),
  off: z.boolean().default(false),
  snapshots: count.default(0),
})

export const openedSchema: z.ZodType<OpenedMigration> = z.object({
  liveXml: xmlSchema,
  configXml: xmlSchema,
  copy: z.array(short).max(MAX_DEVICES),
})

export const preparedSchema: z.ZodType<PreparedMigration> = z.object({ uri: short, cookie: cookieSchema })

export const aliveSchema = z.object({ alive: z.boolean() })

export const outcomeSchema: z.ZodType<MigrationOutcome> = z.discriminatedUnion('state', [
  z.object({ state: z.literal('arrived'), cookie: cookieSchema, split: z.boolean().optional() }),
  z.object({ state: z.literal('cancelled'), why: z.string() }),
  z.object({ state: z.literal('unknown') }),
])
