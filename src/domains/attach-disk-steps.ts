import { AgentError, errorText } from '../core/errors.ts'
import type { DiskSpec } from '../core/model.ts'
import type { OperationManager } from '../operations/manager.ts'
import type { SagaStep } from '../operations/saga.ts'
import { readMounts } from '../platform/mounts.ts'
import { attachDevice } from './attach-device.ts'
import { mayPass } from './cleanup.ts'
import type { DiskDefinition } from './definition.ts'
import type { DomainDeps } from './deps.ts'
import type { RemovalParts } from './device-removal.ts'
import { removeUnwantedDisk, startDiskCleanup, type UnwantedDisk } from './disk-cleanup.ts'
import { diskIoFor } from './disk-io.ts'
import { ensureScsi } from './scsi-controller.ts'
import { diskXml } from './disk-xml.ts'
import { bothHalves, readHalves } from './domain-halves.ts'
import type { DiskPlace } from './free-place.ts'
import { makeVolume, type MadeDisk } from './make-volume.ts'
import { editMetadata, withEntry } from './metadata-edit.ts'
import type { PlannedDisk } from './plan.ts'
import { requireNamespaces } from './rbd-namespace.ts'
import type { VolumeRef } from './vm-remains.ts'

/** What is persisted of an attach. */
export interface AttachParams {
  readonly vmId: string
  /** Checked. */
  readonly disk: DiskSpec
}

/** What its undo needs to know. */
export interface AttachState {
  readonly volumes: readonly VolumeRef[]
  readonly made?: MadeDisk
}

type Step = SagaStep<AttachParams, AttachState>

interface StepOptions {
  readonly deps: DomainDeps
  readonly parts: RemovalParts
  readonly operations: OperationManager
  readonly undoWaitMs: number
  /** Present while attaching; an undo after a restart works without. */
  readonly plan?: PlannedDisk & { readonly place: DiskPlace }
}

/** State of an attach that has not made anything. */
export function initialAttachState({ from }: PlannedDisk): AttachState {
  return { volumes: from.type === 'new' ? [{ poolId: from.poolId, name: from.spec.name }] : [] }
}

/** The steps of an attach in order: the volume (if one is to be made), the device. One undo takes both back, in their order: the guest first. */
export function attachSteps(options: StepOptions): Step[] {
  const { deps, parts, operations } = options
  const unwanted = ({ vmId, disk }: AttachParams, { volumes }: AttachState): UnwantedDisk => ({
    vmId,
    diskId: disk.id,
    volumes,
  })
  // When the device could not be taken out, its volume must not be taken from under it.
  const handedOver = { value: false }
  return [
    {
      name: 'disk',
      run: async ({ vmId, disk }, _state, ctx) => {
        const { from } = requirePlan(options)
        if (from.type === 'present') return {}
        const about = { what: `disk ${disk.id}`, purpose: `a disk of VM ${vmId}` }
        return { made: await makeVolume(from, about, deps, ctx) }
      },
      undo: async (params, state, ctx) => {
        if (handedOver.value) return
        try {
          await removeUnwantedDisk(unwanted(params, state), deps, parts, ctx)
        } catch (error) {
          if (!mayPass(error)) throw error
          await startDiskCleanup(operations, unwanted(params, state))
        }
      },
    },
    {
      name: 'attach',
      run: async ({ vmId }, state, ctx) => {
        const { disk, from, place } = requirePlan(options)
        const found = from.type === 'present' ? { source: from.source, sizeBytes: disk.sizeBytes } : state.made
        if (found === undefined) throw new AgentError('INTERNAL', `disk ${disk.id} was not made`)
        await requireNamespaces(found.source, deps.libvirt, ctx.signal)
        const device = { ...disk, ...found, driver: diskIoFor(found.source, await readMounts()) }
        const halves = await readHalves(deps.libvirt, vmId, ctx.signal)
        // What the disk is has to be known before it is there: who finds it otherwise would take it for a foreign one.
        const note = (text: string) => withEntry(text, 'disks', entryOf(device, place.target))
        await editMetadata(deps.libvirt, vmId, bothHalves(halves), note, ctx.signal)
        if (device.bus === 'scsi') await ensureScsi(vmId, halves, deps.libvirt)
        const xml = diskXml({ device, target: place.target, bus: device.bus, unit: place.unit }, undefined)
        await attachDevice(vmId, xml, bothHalves(halves), `disk ${disk.id}`, deps.libvirt)
        return {}
      },
      undo: async (params, state, ctx) => {
        try {
          await parts.client.ready(AbortSignal.any([ctx.signal, AbortSignal.timeout(options.undoWaitMs)]))
          await removeUnwantedDisk({ ...unwanted(params, state), volumes: [] }, deps, parts, ctx)
        } catch (error) {
          handedOver.value = true
          ctx.log.warn(
            { vm: params.vmId, disk: params.disk.id, err: errorText(error) },
            'a disk cannot be taken out of its VM now; a cleanup goes on when it can',
          )
          await startDiskCleanup(operations, unwanted(params, state))
        }
      },
    },
  ]
}

function entryOf(device: DiskDefinition, target: string): Record<string, string | number> {
  return {
    id: device.id,
    target,
    pool: device.poolId,
    volume: device.volume,
    owned: device.owned ? 'yes' : 'no',
    bootable: device.bootable ? 'yes' : 'no',
    size: device.sizeBytes,
  }
}

function requirePlan({ plan }: StepOptions): NonNullable<StepOptions['plan']> {
  if (plan === undefined) throw new AgentError('INTERNAL', 'a step of an attach runs without its plan')
  return plan
}
