import { z } from 'zod'
import { parseUuid } from '../../core/ids.ts'
import type { VmDeviceService } from '../../services/contracts.ts'
import { noContent, ok, route, type Route } from '../route.ts'
import { optionalText } from '../schemas.ts'
import { diskBody, fromDiskBody, fromNicBody, nicBody } from './vm-bodies.ts'

const vmParams = z.object({ id: z.string() })
const vmIdOf = (params: { id: string }) => parseUuid(params.id, 'id')

const vmNic = z.object({
  id: z.string(),
  macAddress: z.string(),
  model: z.string(),
  network: z.string().meta({ description: 'libvirt network or bridge; empty for others' }),
  linkUp: z.boolean(),
  bandwidthMbps: z.number().meta({ description: 'megabits per second in each direction; 0: no limit' }),
})

const device = optionalText.meta({
  description: 'id or target name of the drive; the first one without a medium, else the first one, when not given',
})
const force = z
  .boolean()
  .nullish()
  .meta({ description: 'false: leave a tray that the guest has locked shut (409), rather than to force it open' })
const changedMedia = z.object({
  device: z.string().meta({ description: 'target name of the drive' }),
  isoPath: z.string().meta({ description: 'what is in it now; empty when nothing is' }),
})

/** Devices of VMs: changed in the running guest and for the next start, or not at all. */
export function vmDeviceRoutes(devices: VmDeviceService): Route[] {
  return [...diskRoutes(devices), ...nicRoutes(devices), ...mediaRoutes(devices)]
}

function diskRoutes(devices: VmDeviceService): Route[] {
  return [
    route({
      method: 'POST',
      url: '/api/v1/vms/:id/disks',
      summary: "Add a disk; a new one without a pool goes next to the VM's first. The same again is success",
      params: vmParams,
      body: diskBody,
      responses: { 200: z.object({ diskId: z.string() }) },
      async handle({ params, body, signal }) {
        const disk = fromDiskBody(body)
        await devices.attachDisk(vmIdOf(params), disk, signal)
        return ok({ diskId: disk.id })
      },
    }),
    route({
      method: 'DELETE',
      url: '/api/v1/vms/:id/disks/:disk',
      summary: 'Take out a disk, named by its id or target name; its data stay. 504: the guest did not let it go',
      params: z.object({ id: z.string(), disk: z.string() }),
      responses: { 204: null },
      async handle({ params, signal }) {
        await devices.detachDisk(vmIdOf(params), params.disk, signal)
        return noContent
      },
    }),
    route({
      method: 'POST',
      url: '/api/v1/vms/:id/disks/:disk/resize',
      summary: 'Grow a disk, under a running guest too; the same again is success',
      params: z.object({ id: z.string(), disk: z.string() }),
      body: z.object({ sizeBytes: z.int().positive() }),
      responses: { 204: null },
      async handle({ params, body, signal }) {
        await devices.resizeDisk(vmIdOf(params), params.disk, body.sizeBytes, signal)
        return noContent
      },
    }),
    route({
      method: 'POST',
      url: '/api/v1/vms/:id/disks/:disk/move',
      summary: 'Move a disk into another pool while its VM runs, or is off; a job, which can be cancelled',
      params: z.object({ id: z.string(), disk: z.string() }),
      body: z.object({
        poolId: z.string(),
        bytesPerSecond: z
          .int()
          .nonnegative()
          .nullish()
          .meta({ description: 'most that is copied per second while the VM runs; 0 (default): no limit' }),
        dropCheckpoints: z.boolean().nullish().meta({
          description: 'true: the next incremental backup holds everything, instead of a refusal of the move',
        }),
      }),
      responses: { 202: z.object({ jobId: z.string() }) },
      async handle({ params, body: { poolId, bytesPerSecond, dropCheckpoints }, signal }) {
        const to = { poolId, bytesPerSecond: bytesPerSecond ?? 0, dropCheckpoints: dropCheckpoints ?? false }
        return { status: 202, body: await devices.moveDisk(vmIdOf(params), params.disk, to, signal) }
      },
    }),
    route({
      method: 'PUT',
      url: '/api/v1/vms/:id/disks/:disk/mark',
      summary: 'Tell BLOCK_THRESHOLD once when the running guest writes past this byte of the volume; 0: no mark',
      params: z.object({ id: z.string(), disk: z.string() }),
      body: z.object({ bytes: z.int().nonnegative() }),
      responses: { 204: null },
      async handle({ params, body, signal }) {
        await devices.setDiskMark(vmIdOf(params), params.disk, body.bytes, signal)
        return noContent
      },
    }),
  ]
}

function nicRoutes(devices: VmDeviceService): Route[] {
  const nicParams = z.object({ id: z.string(), nic: z.string() })
  return [
    route({
      method: 'GET',
      url: '/api/v1/vms/:id/nics',
      summary: 'The NICs of a VM',
      params: vmParams,
      responses: { 200: z.object({ nics: z.array(vmNic) }) },
      handle: async ({ params, signal }) => ok({ nics: await devices.nics(vmIdOf(params), signal) }),
    }),
    route({
      method: 'POST',
      url: '/api/v1/vms/:id/nics',
      summary: 'Add a NIC; the same again is success',
      params: vmParams,
      body: nicBody,
      responses: { 200: vmNic },
      handle: async ({ params, body, signal }) =>
        ok(await devices.attachNic(vmIdOf(params), fromNicBody(body), signal)),
    }),
    route({
      method: 'PATCH',
      url: '/api/v1/vms/:id/nics/:nic',
      summary: 'Pull or plug the cable of a NIC, limit it; what is not given stays',
      params: nicParams,
      body: z.object({
        linkUp: z.boolean().optional(),
        bandwidthMbps: z.int().nonnegative().max(1_000_000).optional(),
      }),
      responses: { 200: vmNic },
      async handle({ params, body: { linkUp, bandwidthMbps }, signal }) {
        const change = {
          ...(linkUp === undefined ? {} : { linkUp }),
          ...(bandwidthMbps === undefined ? {} : { bandwidthMbps }),
        }
        return ok(await devices.changeNic(vmIdOf(params), params.nic, change, signal))
      },
    }),
    route({
      method: 'DELETE',
      url: '/api/v1/vms/:id/nics/:nic',
      summary: 'Take out a NIC, named by its id or MAC address. 504: the guest did not let it go',
      params: nicParams,
      responses: { 204: null },
      async handle({ params, signal }) {
        await devices.detachNic(vmIdOf(params), params.nic, signal)
        return noContent
      },
    }),
  ]
}

function mediaRoutes(devices: VmDeviceService): Route[] {
  const changed = async (change: Promise<{ targetDev: string; path: string }>) => {
    const { targetDev, path } = await change
    return ok({ device: targetDev, isoPath: path })
  }
  return [
    route({
      method: 'POST',
      url: '/api/v1/vms/:id/cdrom/insert',
      summary: 'Put an ISO into a CD-ROM drive, in place of what is in it',
      params: vmParams,
      body: z.object({
        device,
        isoPath: z.string().min(1).meta({ description: 'absolute, or relative to a pool such as iso/debian.iso' }),
        force,
      }),
      responses: { 200: changedMedia },
      handle: ({ params, body, signal }) =>
        changed(
          devices.changeMedia(
            vmIdOf(params),
            { device: body.device, isoPath: body.isoPath, force: body.force ?? true },
            signal,
          ),
        ),
    }),
    route({
      method: 'POST',
      url: '/api/v1/vms/:id/cdrom/eject',
      summary: 'Take out what is in a CD-ROM drive; success when it is empty',
      params: vmParams,
      body: z.object({ device, force }).nullish(),
      responses: { 200: changedMedia },
      handle: ({ params, body, signal }) =>
        changed(
          devices.changeMedia(
            vmIdOf(params),
            { device: body?.device ?? '', isoPath: '', force: body?.force ?? true },
            signal,
          ),
        ),
    }),
  ]
}
