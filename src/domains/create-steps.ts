import { chmod, mkdir } from 'node:fs/promises'
import { MIB } from '../core/bytes.ts'
import { AgentError, errorText } from '../core/errors.ts'
import type { CreateVmRequest, DiskSource } from '../core/model.ts'
import type { SeedDocuments } from '../cloudinit/documents.ts'
import { writeSeed } from '../cloudinit/seed.ts'
import type { LibvirtClient } from '../libvirt/client.ts'
import { VIR_DOMAIN_DEFINE } from '../libvirt/constants.ts'
import { uuidText } from '../libvirt/uuid.ts'
import type { OperationManager } from '../operations/manager.ts'
import type { SagaStep } from '../operations/saga.ts'
import { mayPass, startCleanup } from './cleanup.ts'
import type { DomainDefinition } from './definition.ts'
import type { DomainDeps } from './deps.ts'
import { domainXml } from './domain-xml.ts'
import { findDomain } from './libvirt-domain.ts'
import { vmError } from './libvirt-errors.ts'
import { vmDirectory } from './names.ts'
import type { VmPlan } from './plan.ts'
import { recordSeed } from './seed-record.ts'
import { deleteOwnVolumes, removeDomain, removeVmDirectory, type VolumeRef } from './vm-remains.ts'

/** What is persisted of a create: no secrets, for the documents are not in it. */
export interface CreateParams {
  /** Checked, without cloud-init. */
  readonly request: CreateVmRequest
  readonly specDigest: string
  readonly cloudInitDigest: string
  readonly hasSeed: boolean
}

/** What the undo of a create needs to know. */
export interface CreateState {
  readonly volumes: readonly VolumeRef[]
  readonly sources: Readonly<Record<string, DiskSource>>
}

type Step = SagaStep<CreateParams, CreateState>

interface StepOptions {
  readonly deps: DomainDeps
  readonly client: Pick<LibvirtClient, 'ready'>
  readonly operations: OperationManager
  readonly undoWaitMs: number
  /** Present while creating; an undo after a restart works without. */
  readonly plan?: VmPlan
  readonly documents?: SeedDocuments | undefined
}

/** The first define makes libvirt probe QEMU. */
const DEFINE_TIMEOUT_MS = 180_000

/** Volumes the plan will make. */
export function plannedVolumes(plan: VmPlan): VolumeRef[] {
  return plan.disks.flatMap(({ volume }) =>
    volume === undefined ? [] : [{ poolId: volume.poolId, name: volume.spec.name }],
  )
}

/** The steps of a create in order: disks, files (seed, console log directory), define. */
export function createSteps(options: StepOptions): Step[] {
  const { deps } = options
  // When libvirt cannot be asked whether the domain is there, its disks must not be taken from under it.
  const handedOver = { value: false }
  return [
    {
      name: 'disks',
      run: async (params, state, ctx) => {
        const sources: Record<string, DiskSource> = {}
        for (const { disk, volume } of requirePlan(options).disks) {
          if (volume === undefined) continue
          const { backend } = await deps.pools.require(volume.poolId, ctx)
          // qcow2 files begin small; what is asked for here is their first clusters, not their virtual size.
          const space = await deps.pools.reserve(
            volume.poolId,
            INITIAL_BYTES,
            ctx,
            `creation of VM ${params.request.vmId}`,
          )
          try {
            sources[disk.id] = (await backend.createVolume(volume.spec, ctx)).source
          } finally {
            space.release()
          }
        }
        return { ...state, sources }
      },
      undo: async ({ request }, { volumes }, ctx) => {
        if (handedOver.value) return
        try {
          await deleteOwnVolumes(deps, volumes, request.vmId, ctx)
        } catch (error) {
          // After a restart a pool may be up later than we are.
          if (!mayPass(error)) throw error
          await startCleanup(options.operations, request.vmId, volumes)
        }
      },
    },
    {
      name: 'files',
      run: async ({ request, cloudInitDigest, hasSeed }, state, ctx) => {
        const directory = vmDirectory(deps.config.stateDir, request.vmId)
        await makeVmDirectory(directory)
        if (!hasSeed) return state
        if (options.documents === undefined) throw new AgentError('INTERNAL', 'the cloud-init documents are gone')
        await writeSeed(directory, options.documents, ctx)
        await recordSeed(deps.config.stateDir, request.vmId, cloudInitDigest)
        return state
      },
      undo: async ({ request }) => {
        if (!handedOver.value) await removeVmDirectory(deps, request.vmId)
      },
    },
    {
      name: 'define',
      run: async ({ request }, state, ctx) => {
        const xml = domainXml(definitionOf(requirePlan(options), state))
        const args = { xml, flags: VIR_DOMAIN_DEFINE.VALIDATE }
        try {
          const { dom } = await deps.libvirt.call('remote:DOMAIN_DEFINE_XML_FLAGS', args, {
            timeoutMs: DEFINE_TIMEOUT_MS,
            signal: ctx.signal,
          })
          if (uuidText(dom.uuid) !== request.vmId) throw new AgentError('INTERNAL', 'libvirt defined another domain')
        } catch (error) {
          throw vmError(error, request.vmId)
        }
        return state
      },
      undo: async ({ request }, { volumes }, ctx) => {
        const { vmId } = request
        try {
          await options.client.ready(AbortSignal.any([ctx.signal, AbortSignal.timeout(options.undoWaitMs)]))
          // Under the VM's lock there was no such domain before, so one that is there now is ours.
          const dom = await findDomain(deps.libvirt, vmId, ctx.signal)
          if (dom !== undefined) await removeDomain(deps, dom, vmId, ctx.signal)
        } catch (error) {
          handedOver.value = true
          ctx.log.warn(
            { vm: vmId, err: errorText(error) },
            'libvirt cannot be asked now; a cleanup goes on when it is back',
          )
          await startCleanup(options.operations, vmId, volumes)
        }
      },
    },
  ]
}

/** Header and first tables of a sparse image. */
const INITIAL_BYTES = 4 * MIB

function requirePlan({ plan }: StepOptions): VmPlan {
  if (plan === undefined) throw new AgentError('INTERNAL', 'a step of a create runs without its plan')
  return plan
}

function definitionOf(plan: VmPlan, state: CreateState): DomainDefinition {
  const disks = plan.disks.map(({ disk, volume }) => {
    if (volume === undefined) return disk
    const source = state.sources[disk.id]
    if (source === undefined) throw new AgentError('INTERNAL', `disk ${disk.id} was not made`)
    const path = source.type === 'file' ? source.path : source.device
    return { ...disk, type: source.type, path, format: source.format }
  })
  return { ...plan.domain, disks }
}

// QEMU and virtlogd have to reach the files in it, nobody has to list it; the umask must not decide.
async function makeVmDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o711 })
  await chmod(directory, 0o711)
}
