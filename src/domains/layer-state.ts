import { z } from 'zod'
import type { OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import { VIR_ERR } from '../libvirt/constants.ts'
import { isLibvirtError } from '../libvirt/errors.ts'
import { imageInfo } from '../storage/qemu-img.ts'
import { chainOf, type DomainLayer } from './domain-info.ts'
import { mediaXml, readHalves, type DomainHalf, type DomainHalves } from './domain-halves.ts'
import type { LayerFacts } from './layer-plan.ts'
import { domainRef, type LibvirtCalls } from './libvirt-domain.ts'
import { vmError } from './libvirt-errors.ts'
import { readSnapshots, type SnapshotParts } from './read-snapshots.ts'
import type { SnapshotFacts } from './snapshot-info.ts'

/** The layers of a VM's disks, and who needs them. */
export interface LayerState {
  readonly halves: DomainHalves
  readonly snapshots: readonly SnapshotFacts[]
  readonly layers: readonly (DomainLayer & LayerFacts)[]
  /** As in nextLayerStep. */
  readonly kept: ReadonlySet<string>
  readonly active: ReadonlySet<string>
  /** Files that QEMU has open; empty while the VM is off. */
  readonly open: ReadonlySet<string>
}

const TIMEOUT_MS = 30_000
const nodesAnswer = z.object({ return: z.array(z.object({ file: z.string() })) })

/** Looks at libvirt, QEMU and the headers of the files. Errors: VM_NOT_FOUND, POOL_*, LIBVIRT_*, those of imageInfo. */
export async function readLayerState(vmId: string, parts: SnapshotParts, ctx: OpContext): Promise<LayerState> {
  const halves = await readHalves(parts.client, vmId, ctx.signal)
  const snapshots = await readSnapshots(vmId, parts, ctx.signal)
  const layers: (DomainLayer & LayerFacts)[] = []
  for (const layer of halves.config.facts.layers) layers.push({ ...layer, ...(await look(layer, parts, ctx)) })
  const open = halves.live === undefined ? new Set<string>() : await openFiles(vmId, parts.client, ctx.signal)
  const both = [halves.config, ...(halves.live === undefined ? [] : [halves.live])]
  return {
    halves,
    snapshots,
    layers,
    kept: new Set(layers.filter(({ keeps }) => snapshots.some(({ id }) => id === keeps)).map(({ path }) => path)),
    active: new Set(both.flatMap(({ facts }) => facts.disks.map(({ path }) => path))),
    open,
  }
}

/** Places of the layers of the disk at a target name, as a half of the domain names them. */
export function chainAt(half: DomainHalf | undefined, target: string): readonly string[] {
  const disk =
    half === undefined ? undefined : mediaXml(half).find((one) => one.first('target')?.attribute('dev') === target)
  return disk === undefined ? [] : chainOf(disk)
}

async function look(layer: DomainLayer, { deps }: SnapshotParts, ctx: OpContext): Promise<LayerPresence> {
  if (!layer.overlay) return { present: true, backing: undefined }
  const { backend } = await deps.pools.require(layer.poolId, ctx)
  if ((await backend.getVolume(layer.volume, ctx)) === undefined) return { present: false, backing: undefined }
  return { present: true, backing: (await imageInfo(layer.path, 'qcow2', ctx)).backingFile }
}

type LayerPresence = Pick<LayerFacts, 'present' | 'backing'>

// libvirt may know less than QEMU does, when it died right after a change.
async function openFiles(vmId: string, libvirt: LibvirtCalls, signal: AbortSignal): Promise<Set<string>> {
  const cmd = JSON.stringify({ execute: 'query-named-block-nodes', arguments: { flat: true } })
  try {
    const { result } = await libvirt.call(
      'qemu:DOMAIN_MONITOR_COMMAND',
      { dom: domainRef(vmId), cmd, flags: 0 },
      { timeoutMs: TIMEOUT_MS, signal },
    )
    const answer = nodesAnswer.safeParse(JSON.parse(result))
    if (!answer.success) throw new AgentError('INTERNAL', `VM ${vmId}: QEMU does not tell which files it has open`)
    return new Set(answer.data.return.map(({ file }) => file))
  } catch (error) {
    // It has gone off meanwhile.
    if (isLibvirtError(error, VIR_ERR.OPERATION_INVALID)) return new Set()
    throw vmError(error, vmId)
  }
}
