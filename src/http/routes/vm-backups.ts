import { z } from 'zod'
import type { BackupListing, KnownBackup } from '../../domains/backup/backup-record.ts'
import type { BackupExport } from '../../domains/backup/export-record.ts'
import type { BackupService } from '../../services/contracts.ts'
import { noContent, ok, route, type Route } from '../route.ts'
import { optionalCount, optionalFlag, optionalText, time, toTime, unsigned } from '../schemas.ts'

const BACKUPS = '/api/v1/vms/:id/backups'
const EXPORTS = '/api/v1/vms/:id/exports'
const vmParams = z.object({ id: z.string() })
const backupParams = z.object({ id: z.string(), backup: z.string() })

const backupBody = z.object({
  vmId: z.string(),
  name: z.string(),
  vmName: z.string(),
  poolId: z.string(),
  createdAt: time,
  parent: z
    .string()
    .nullable()
    .meta({ description: 'the backup since which it holds the changes; null = it is whole' }),
  incremental: z.boolean().meta({ description: 'the next one can hold the changes since this one' }),
  disks: z.array(
    z.object({
      diskId: z.string(),
      targetDev: z.string(),
      volume: z.string(),
      path: z.string(),
      sizeBytes: unsigned,
      sha256: z.string(),
    }),
  ),
  state: z.enum(['whole', 'unseen']).meta({
    description:
      'whole: read in its pool just now; unseen: the pool, or its manifest, cannot be read now, and this is what the host remembers',
  }),
})

const listBody = z.object({
  backups: z.array(backupBody),
  damaged: z.array(z.object({ vmId: z.string(), name: z.string(), poolId: z.string(), problem: z.string() })).meta({
    description:
      'what is left of backups whose manifest is damaged or missing, which can only be deleted, or cannot be read now',
  }),
})

const createBody = z.object({
  name: optionalText.meta({ description: 'unique among those of the VM; default: the time' }),
  poolId: z.string(),
  mode: z.enum(['incremental', 'full']).nullish().meta({
    description:
      'incremental (default): the changes since the last one, all of it the first time; full: all of it, on its own',
  }),
})
const restoreBody = z.object({
  poolId: z.string(),
  prefix: z.string().meta({ description: 'the new volumes are <prefix>-<disk>' }),
})

const exportParams = z.object({ id: z.string(), export: z.string() })
const exportBody = z.object({
  name: z.string(),
  jobId: z.string(),
  socket: z.string().meta({ description: 'UNIX socket on this host on which QEMU serves NBD; root reaches it' }),
  disks: z.array(
    z.object({
      diskId: z.string(),
      targetDev: z.string(),
      exportName: z.string(),
      url: z.string(),
      bitmap: z
        .string()
        .nullable()
        .meta({ description: 'meta context of NBD in which what changed is dirty; null = nothing is told, read all' }),
      sizeBytes: unsigned,
    }),
  ),
  checkpoint: z
    .string()
    .nullable()
    .meta({ description: 'name it as `since` of the next one, once this one was ended as complete' }),
  since: z.string().nullable(),
  expiresAt: time,
})
const openExportBody = z.object({
  name: optionalText.meta({ description: 'default: the time' }),
  poolId: optionalText.meta({
    description: 'pool of files for what the guest overwrites meanwhile; default: that of its first disk',
  }),
  mode: z.enum(['incremental', 'full']).nullish().meta({
    description: 'incremental (default): makes a checkpoint for the next one; full: leaves nothing in the VM',
  }),
  since: optionalText.meta({ description: 'checkpoint of an earlier export: tells what changed since' }),
  lifetimeSeconds: optionalCount.meta({ description: 'ended by itself after that; default 14400, at most 604800' }),
})
const endExportBody = z.object({
  complete: optionalFlag.meta({ description: 'all of it was read and is kept: its checkpoint stays' }),
})

/** Backups of VMs. What they are asked to do goes on as a job. */
export function vmBackupRoutes(backups: BackupService): Route[] {
  return [
    route({
      method: 'GET',
      url: BACKUPS,
      summary: 'The backups of a VM, oldest first, also of one that is gone',
      params: vmParams,
      responses: { 200: listBody },
      handle: async ({ params, signal }) => ok(toListBody(await backups.list(params.id, signal))),
    }),
    route({
      method: 'GET',
      url: '/api/v1/backups',
      summary: 'The backups of all VMs in the pools of this host, whichever host made them, oldest first',
      responses: { 200: listBody },
      handle: async ({ signal }) => ok(toListBody(await backups.list(undefined, signal))),
    }),
    route({
      method: 'POST',
      url: BACKUPS,
      summary: 'Back a VM up into a pool while it runs; a name that is taken is that backup',
      params: vmParams,
      body: createBody,
      responses: { 202: z.object({ jobId: z.string(), name: z.string() }) },
      async handle({ params, body: { name, poolId, mode }, signal }) {
        const request = { name, poolId, mode: mode ?? 'incremental' } as const
        return { status: 202, body: await backups.create(params.id, request, signal) }
      },
    }),
    route({
      method: 'POST',
      url: `${BACKUPS}/:backup/restore`,
      summary:
        'Copy the disks of a backup into new volumes, compared with their digests before and with the backup afterwards',
      params: backupParams,
      body: restoreBody,
      responses: { 202: z.object({ jobId: z.string() }) },
      async handle({ params, body, signal }) {
        return { status: 202, body: await backups.restore(params.id, params.backup, body, signal) }
      },
    }),
    route({
      method: 'DELETE',
      url: `${BACKUPS}/:backup`,
      summary: 'Delete a backup; refused while a later one holds the changes since it. Success when it is gone',
      params: backupParams,
      responses: { 204: null },
      async handle({ params, signal }) {
        await backups.delete(params.id, params.backup, signal)
        return noContent
      },
    }),
    route({
      method: 'GET',
      url: EXPORTS,
      summary: 'The export of the disks of a VM over NBD, while one is open',
      params: vmParams,
      responses: { 200: z.object({ exports: z.array(exportBody) }) },
      handle: async ({ params }) => ok({ exports: (await backups.listExports(params.id)).map(toExportBody) }),
    }),
    route({
      method: 'POST',
      url: EXPORTS,
      summary: 'Serve the disks of a running VM, as they are now, over NBD on a UNIX socket of this host',
      params: vmParams,
      body: openExportBody,
      responses: { 201: exportBody },
      async handle({ params, body, signal }) {
        const opened = await backups.openExport(params.id, { ...body, mode: body.mode ?? 'incremental' }, signal)
        return { status: 201, body: toExportBody(opened) }
      },
    }),
    route({
      method: 'POST',
      url: `${EXPORTS}/:export/end`,
      summary: 'End an export; complete when all of it was read and is kept. Success when it had ended so',
      params: exportParams,
      body: endExportBody,
      responses: { 204: null },
      async handle({ params, body, signal }) {
        await backups.endExport(params.id, params.export, body.complete, signal)
        return noContent
      },
    }),
    route({
      method: 'DELETE',
      url: `${EXPORTS}/:export`,
      summary: 'Forget the checkpoint that a complete export left in the VM. Success when there is none',
      params: exportParams,
      responses: { 204: null },
      async handle({ params, signal }) {
        await backups.forgetExport(params.id, params.export, signal)
        return noContent
      },
    }),
  ]
}

function toListBody({ backups, damaged }: BackupListing): z.input<typeof listBody> {
  return { backups: backups.map(toBody), damaged: damaged.map(({ passing: _, ...each }) => each) }
}

function toBody(backup: KnownBackup): z.input<typeof backupBody> {
  const { vmId, name, vmName, poolId, createdAt, parent, checkpoint, disks, state } = backup
  return {
    vmId,
    name,
    vmName,
    poolId,
    createdAt: toTime(createdAt),
    parent: parent === '' ? null : parent,
    incremental: checkpoint !== '',
    disks: [...disks],
    state,
  }
}

function toExportBody(opened: BackupExport): z.input<typeof exportBody> {
  const { name, jobId, socket, disks, checkpoint, since, expiresAt } = opened
  return {
    name,
    jobId,
    socket,
    // As the specification of NBD's URIs says.
    disks: disks.map((disk) => ({
      ...disk,
      bitmap: disk.bitmap || null,
      url: `nbd+unix:///${encodeURIComponent(disk.exportName)}?socket=${encodeURIComponent(socket)}`,
    })),
    checkpoint: checkpoint || null,
    since: since || null,
    expiresAt: toTime(expiresAt),
  }
}
