import { z } from 'zod'
import { parseUuid } from '../../core/ids.ts'
import type { VmSnapshot } from '../../core/model.ts'
import type { SnapshotService } from '../../services/contracts.ts'
import { noContent, ok, route, type Route } from '../route.ts'
import { optionalText, time, toTime } from '../schemas.ts'

const SNAPSHOTS = '/api/v1/vms/:id/snapshots'
const vmParams = z.object({ id: z.string() })
const snapshotParams = z.object({ id: z.string(), snapshot: z.string() })
const vmIdOf = (params: { id: string }) => parseUuid(params.id, 'id')

const snapshotBody = z.object({
  snapshotId: z.string(),
  name: z.string(),
  description: z.string(),
  createdAt: time,
  vmState: z.string(),
  parentId: z.string().nullable(),
  hasMemory: z.boolean(),
})

const createBody = z.object({
  name: z.string(),
  description: optionalText,
  quiesce: z
    .boolean()
    .nullish()
    .meta({ description: 'the guest writes everything out and stands still meanwhile; of no effect with the memory' }),
  includeMemory: z
    .boolean()
    .nullish()
    .meta({ description: 'of a running VM: true also keeps its memory, false its disks alone; default: as it can be' }),
})

/** Snapshots of VMs. */
export function vmSnapshotRoutes(snapshots: SnapshotService): Route[] {
  return [
    route({
      method: 'GET',
      url: SNAPSHOTS,
      summary: 'The snapshots of a VM, oldest first',
      params: vmParams,
      responses: { 200: z.object({ snapshots: z.array(snapshotBody) }) },
      handle: async ({ params, signal }) =>
        ok({ snapshots: (await snapshots.list(vmIdOf(params), signal)).map(toBody) }),
    }),
    route({
      method: 'POST',
      url: SNAPSHOTS,
      summary: 'Keep a VM as it is now; the same again is the same snapshot',
      params: vmParams,
      body: createBody,
      responses: { 200: snapshotBody },
      async handle({ params, body: { name, description, quiesce, includeMemory }, signal }) {
        const request = { name, description, quiesce: quiesce ?? false, includeMemory: includeMemory ?? undefined }
        return ok(toBody(await snapshots.create(vmIdOf(params), request, signal)))
      },
    }),
    route({
      method: 'POST',
      url: `${SNAPSHOTS}/:snapshot/revert`,
      summary: 'Bring a VM back to a snapshot; what was since is lost',
      params: snapshotParams,
      responses: { 204: null },
      async handle({ params, signal }) {
        await snapshots.revert(vmIdOf(params), params.snapshot, signal)
        return noContent
      },
    }),
    route({
      method: 'DELETE',
      url: `${SNAPSHOTS}/:snapshot`,
      summary: 'Forget a snapshot; later ones stay. Success when it is gone',
      params: snapshotParams,
      responses: { 204: null },
      async handle({ params, signal }) {
        await snapshots.delete(vmIdOf(params), params.snapshot, signal)
        return noContent
      },
    }),
  ]
}

function toBody({
  id,
  createdAt,
  parentId,
  name,
  description,
  vmState,
  hasMemory,
}: VmSnapshot): z.input<typeof snapshotBody> {
  return {
    snapshotId: id,
    name,
    description,
    createdAt: toTime(createdAt),
    vmState,
    parentId: parentId === '' ? null : parentId,
    hasMemory,
  }
}
