import { chmod, mkdir } from 'node:fs/promises'
import { AgentError, errorText } from '../core/errors.ts'
import type { OpContext } from '../core/context.ts'
import type { CreateVmRequest } from '../core/model.ts'
import type { SeedDocuments } from '../cloudinit/documents.ts'
import { writeSeed } from '../cloudinit/seed.ts'
import type { LibvirtClient } from '../libvirt/client.ts'
import { VIR_DOMAIN_DEFINE } from '../libvirt/constants.ts'
import { uuidText } from '../libvirt/uuid.ts'
import type { OperationManager } from '../operations/manager.ts'
import type { SagaStep } from '../operations/saga.ts'
import { readMounts, type MountEntry } from '../platform/mounts.ts'
import { mayPass, startCleanup } from './cleanup.ts'
import type { DomainDefinition } from './definition.ts'
import type { DomainDeps } from './deps.ts'
import { diskIoFor } from './disk-io.ts'
import { domainXml } from './domain-xml.ts'
import { findDomain } from './libvirt-domain.ts'
import { vmError } from './libvirt-errors.ts'
import { makeVolume, type MadeDisk } from './make-volume.ts'
import { vmDirectory } from './names.ts'
import type { VmPlan } from './plan.ts'
import { requireNamespaces } from './rbd-namespace.ts'
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

/** What the undo of a create, and whoever asks for the users of a pool meanwhile, needs to know. */
export interface CreateState {
  readonly volumes: readonly VolumeRef[]
  /** Places (placeOf) of images and disks that the VM uses and that were there before. */
  readonly uses: readonly string[]
  /** By disk id. */
  readonly made: Readonly<Record<string, MadeDisk>>
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
  readonly vncPassword?: string | undefined
}

/** The first define makes libvirt probe QEMU. */
const DEFINE_TIMEOUT_MS = 180_000

/**
 * State of a create that has not made anything. Volumes that are there now, of the same VM on another host or of one that was undefined here, are used, and stay when the create fails. Errors: POOL_*, those of
 * getVolume.
 */
export async function initialState({ disks }: VmPlan, { pools }: Pick<DomainDeps, 'pools'>, ctx: OpContext) {
  const volumes: VolumeRef[] = []
  for (const { from } of disks) {
    if (from.type !== 'new') continue
    const { poolId, spec } = from
    const { backend } = await pools.require(poolId, ctx)
    if ((await backend.getVolume(spec.name, ctx)) === undefined) volumes.push({ poolId, name: spec.name })
  }
  const state: CreateState = { volumes, uses: disks.flatMap(({ uses }) => uses), made: {} }
  return state
}

/** The steps of a create in order: disks and beside them files (seed, console log directory), then define. */
export function createSteps(options: StepOptions): Step[] {
  const { deps } = options
  // When libvirt cannot be asked whether the domain is there, its disks must not be taken from under it.
  const handedOver = { value: false }
  return [
    {
      name: 'disks',
      run: async (params, _state, ctx) => {
        const made: Record<string, MadeDisk> = {}
        for (const { disk, from } of requirePlan(options).disks) {
          if (from.type === 'present') continue
          const about = { what: `disk ${disk.id}`, purpose: `creation of VM ${params.request.vmId}` }
          made[disk.id] = await makeVolume(from, about, deps, ctx)
        }
        return { made }
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
      besidePrevious: true,
      run: async ({ request, cloudInitDigest, hasSeed }, _state, ctx) => {
        const directory = vmDirectory(deps.config.stateDir, request.vmId)
        await makeVmDirectory(directory)
        if (!hasSeed) return {}
        if (options.documents === undefined) throw new AgentError('INTERNAL', 'the cloud-init documents are gone')
        await writeSeed(directory, options.documents, ctx)
        await recordSeed(deps.config.stateDir, request.vmId, cloudInitDigest)
        return {}
      },
      undo: async ({ request }) => {
        if (!handedOver.value) await removeVmDirectory(deps, request.vmId)
      },
    },
    {
      name: 'define',
      // Its undo looks for the domain, which is its own under the lock of the VM.
      journaledEarly: true,
      run: async ({ request }, state, ctx) => {
        const { vncPassword } = options
        const planned = definitionOf(requirePlan(options), state, await readMounts())
        const definition = vncPassword === undefined ? planned : { ...planned, vncPassword }
        for (const { source } of definition.disks) await requireNamespaces(source, deps.libvirt, ctx.signal)
        const xml = domainXml(definition)
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
        return {}
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

function requirePlan({ plan }: StepOptions): VmPlan {
  if (plan === undefined) throw new AgentError('INTERNAL', 'a step of a create runs without its plan')
  return plan
}

function definitionOf(plan: VmPlan, { made }: CreateState, mounts: readonly MountEntry[]): DomainDefinition {
  const disks = plan.disks.map(({ disk, from }) => {
    const found = from.type === 'present' ? { source: from.source, sizeBytes: disk.sizeBytes } : made[disk.id]
    if (found === undefined) throw new AgentError('INTERNAL', `disk ${disk.id} was not made`)
    return { ...disk, ...found, driver: diskIoFor(found.source, mounts) }
  })
  return { ...plan.domain, disks }
}

// QEMU and virtlogd have to reach the files in it, nobody has to list it; the umask must not decide.
async function makeVmDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o711 })
  await chmod(directory, 0o711)
}
