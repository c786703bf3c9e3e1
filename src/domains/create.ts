import { randomUUID } from 'node:crypto'
import { AgentError } from '../core/errors.ts'
import type { CreateVmRequest, VmSpec } from '../core/model.ts'
import { buildSeedDocuments, type SeedDocuments } from '../cloudinit/documents.ts'
import type { LibvirtClient } from '../libvirt/client.ts'
import { VIR_ERR } from '../libvirt/constants.ts'
import { isLibvirtError } from '../libvirt/errors.ts'
import { uuidText } from '../libvirt/uuid.ts'
import type { OperationManager } from '../operations/manager.ts'
import { isFinal, type OperationHandler } from '../operations/operation.ts'
import { runSaga, undoSaga, type SagaJournal } from '../operations/saga.ts'
import { isBeingCleanedUp } from './cleanup.ts'
import { linkedSourceId } from './clone-source.ts'
import { createSteps, initialState, type CreateParams, type CreateState } from './create-steps.ts'
import type { DomainDeps } from './deps.ts'
import { parseDomain } from './domain-info.ts'
import { findDomain, readDomainXml } from './libvirt-domain.ts'
import { vmError } from './libvirt-errors.ts'
import { planVm } from './plan.ts'
import { vmLock } from './power.ts'
import { isSameSeed } from './seed-record.ts'
import { cloudInitDigest, specDigest } from './spec-digest.ts'
import { checkRequest } from './vm-spec.ts'

/** Kind of the operation in the journal. */
export const CREATE_KIND = 'vm.create'

/** What a create needs and nobody may keep. */
interface CreateSecrets {
  readonly documents: SeedDocuments | undefined
  readonly vncPassword: string | undefined
}

export interface CreateResult {
  readonly vmId: string
  /** False when the same VM was there. */
  readonly created: boolean
}

/** What the creator needs: the domain layer's dependencies, operations, and the client to wait for after an unknown outcome. */
export interface VmCreatorOptions {
  readonly deps: DomainDeps
  readonly client: Pick<LibvirtClient, 'call' | 'ready'>
  readonly operations: OperationManager
  /** How long an undo waits for libvirt before it leaves the rest to a cleanup operation; default 20 s. */
  readonly undoWaitMs?: number
  /** For crash tests. */
  readonly afterStep?: (name: string) => void
}

const LOOKUP_TIMEOUT_MS = 15_000
const UNDO_WAIT_MS = 20_000

/** Creates VMs as journaled sagas: a complete VM or nothing, whatever fails or dies meanwhile. Registers its operation kinds when constructed. */
export class VmCreator {
  readonly #deps: DomainDeps
  readonly #client: VmCreatorOptions['client']
  readonly #operations: OperationManager
  readonly #undoWaitMs: number
  readonly #afterStep: ((name: string) => void) | undefined
  /** Secrets of running operations. The journal never sees them; an interrupted create is undone and needs none. */
  readonly #secrets = new Map<string, CreateSecrets>()

  constructor(options: VmCreatorOptions) {
    this.#deps = options.deps
    this.#client = options.client
    this.#operations = options.operations
    this.#undoWaitMs = options.undoWaitMs ?? UNDO_WAIT_MS
    this.#afterStep = options.afterStep
    this.#operations.register(this.#handler())
  }

  /**
   * Creates the VM, or finds that the same one is there. Aborting `signal` ends the waiting, not the work. Errors: VM_SPEC_INVALID, INVALID_*, CLOUD_INIT_INVALID,
   * VM_DIFFERENT, VM_NAME_TAKEN, those of planning (`planVm`), POOL_FULL, LIBVIRT_*, ABORTED_BY_RESTART.
   */
  async create(given: CreateVmRequest, signal: AbortSignal): Promise<CreateResult> {
    const request = checkRequest(given)
    const { vmId, name } = request
    const needsSeed = request.spec.cloudInit !== undefined || request.spec.disks.some((disk) => disk.backingFile !== '')
    const documents = needsSeed ? buildSeedDocuments(request.spec.cloudInit, { vmId, name }) : undefined
    const { cloudInit, vncPassword, ...spec } = request.spec
    const params: CreateParams = {
      request: { ...request, spec: spec satisfies VmSpec },
      specDigest: specDigest(request),
      cloudInitDigest: cloudInitDigest(cloudInit),
      hasSeed: needsSeed,
    }
    this.#refuseDuringCleanup(vmId)
    if (await this.#isThere(params, signal)) return { vmId, created: false }
    await this.#requireFreeName(vmId, name, signal)
    const linkedTo = linkedSourceId(request)
    const id = randomUUID()
    this.#secrets.set(id, { documents, vncPassword })
    try {
      const record = await this.#operations.start(CREATE_KIND, params, {
        id,
        subject: `vm ${vmId}`,
        dedupeKey: `${CREATE_KIND}:${vmId}`,
        locks: [vmLock(vmId), `vm-name:${name}`, ...(linkedTo === undefined ? [] : [vmLock(linkedTo)])],
      })
      const twin = record.params as CreateParams
      if (twin.specDigest !== params.specDigest || twin.cloudInitDigest !== params.cloudInitDigest)
        throw different(vmId)
      if (record.id !== id) this.#secrets.delete(id)
      return await this.#operations.result<CreateResult>(record.id, signal)
    } catch (error) {
      // The operation drops them itself once it has begun.
      if (this.#operations.get(id) === undefined) this.#secrets.delete(id)
      throw error
    }
  }

  // A cleanup deletes by VM id: it would take what is being created now.
  #refuseDuringCleanup(vmId: string): void {
    if (!isBeingCleanedUp(this.#operations, vmId)) return
    throw new AgentError(
      'CONFLICT',
      `VM ${vmId}: what a failed operation left of it is still being removed; retry later`,
    )
  }

  #handler(): OperationHandler<CreateParams, CreateResult, SagaJournal<CreateState>> {
    return {
      kind: CREATE_KIND,
      onRestart: 'rollback',
      onShutdown: 'finish',
      run: async (params, ctx) => {
        const { request } = params
        const { vmId, name } = request
        const secrets = this.#secrets.get(ctx.id)
        try {
          // Once more, now that nobody else can change it.
          this.#refuseDuringCleanup(vmId)
          // What was said of an earlier one of that id is not said of this one.
          await this.#deps.splits?.settle(vmId, ctx.signal)
          if (await this.#isThere(params, ctx.signal, ctx.id)) return { vmId, created: false }
          await this.#requireFreeName(vmId, name, ctx.signal)
          const plan = await planVm(request, params, this.#deps, ctx)
          const steps = createSteps({ ...this.#stepOptions(), plan, ...secrets })
          await runSaga(steps, params, await initialState(plan, this.#deps, ctx), ctx, this.#afterStep)
          return { vmId, created: true }
        } finally {
          this.#secrets.delete(ctx.id)
        }
      },
      rollback: async (params, ctx) => {
        if (ctx.journal === undefined) return
        const steps = createSteps(this.#stepOptions())
        await undoSaga(steps, params, ctx.journal, ctx)
      },
    }
  }

  #stepOptions() {
    return {
      deps: this.#deps,
      client: this.#client,
      operations: this.#operations,
      undoWaitMs: this.#undoWaitMs,
    }
  }

  /** True when this very VM is defined. VM_DIFFERENT when another one, or a foreign domain, has its id. */
  async #isThere(params: CreateParams, signal: AbortSignal, ownId?: string): Promise<boolean> {
    const { vmId } = params.request
    const dom = await findDomain(this.#client, vmId, signal)
    const xml = dom === undefined ? undefined : await readDomainXml(this.#client, dom, vmId, signal)
    if (xml === undefined) return false
    if (this.#hasUnfinished(vmId, ownId)) {
      // Before our own operation begins: it will join the one that runs.
      if (ownId === undefined) return false
      throw new AgentError('CONFLICT', `VM ${vmId}: an interrupted creation of it is being undone; retry in a moment`)
    }
    const facts = parseDomain(xml)
    const same = facts.managed && facts.specDigest === params.specDigest
    if (!same || !(await isSameSeed(this.#deps.config.stateDir, vmId, params.cloudInitDigest))) throw different(vmId)
    return true
  }

  #hasUnfinished(vmId: string, ownId: string | undefined): boolean {
    return this.#operations
      .list(CREATE_KIND)
      .some(
        ({ id, state, params }) => id !== ownId && !isFinal(state) && (params as CreateParams).request.vmId === vmId,
      )
  }

  async #requireFreeName(vmId: string, name: string, signal: AbortSignal): Promise<void> {
    let owner: string
    try {
      const { dom } = await this.#client.call(
        'remote:DOMAIN_LOOKUP_BY_NAME',
        { name },
        { timeoutMs: LOOKUP_TIMEOUT_MS, signal },
      )
      owner = uuidText(dom.uuid)
    } catch (error) {
      if (isLibvirtError(error, VIR_ERR.NO_DOMAIN)) return
      throw vmError(error, vmId)
    }
    if (owner !== vmId) throw nameTaken(vmId, name, owner)
  }
}

function nameTaken(vmId: string, name: string, owner: string): AgentError {
  return new AgentError(
    'VM_NAME_TAKEN',
    `VM ${vmId}: the name ${JSON.stringify(name)} belongs to VM ${owner} on this host; choose another name or delete that VM`,
    { details: { owner } },
  )
}

function different(vmId: string): AgentError {
  return new AgentError(
    'VM_DIFFERENT',
    `VM ${vmId}: a domain with this id is here with another specification; use another id, or delete it first`,
  )
}
