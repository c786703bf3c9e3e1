import type { Logger, OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import type { KeyedLock } from '../core/keyed-lock.ts'
import { splitRelative } from '../platform/files.ts'
import type { LibvirtClient } from '../libvirt/client.ts'
import { VIR_DOMAIN_DEVICE_MODIFY_FORCE } from '../libvirt/constants.ts'
import { LibvirtError } from '../libvirt/errors.ts'
import { writeXml } from '../libvirt/write-xml.ts'
import { el, type XmlNode } from '../libvirt/xml-node.ts'
import { addCdrom } from './cdrom-add.ts'
import { chooseCdrom, isNextCdrom } from './cdrom-choice.ts'
import { bothHalves, changeHalves, mediaXml, readHalves, type DomainHalf, type DomainHalves } from './domain-halves.ts'
import { changeVm } from './exclusive.ts'
import type { DomainInventory } from './inventory.ts'
import { findIso, type IsoDeps } from './iso-place.ts'
import { domainRef } from './libvirt-domain.ts'
import { toNode, type XmlElement } from './read-xml.ts'

/** What is to be in a CD-ROM drive. */
export interface MediaChange {
  /** The drive, as `chooseCdrom` reads it. */
  readonly device: string
  /** Absolute or relative path of an ISO (`findIso`); empty = eject. */
  readonly isoPath: string
  /** False: a tray that the guest has locked stays shut (CDROM_LOCKED), rather than to be forced open. */
  readonly force?: boolean
}

/** A drive after a change; `path` is empty when nothing is in it. */
export interface ChangedMedia {
  readonly targetDev: string
  readonly path: string
}

export interface MediaChangerParts {
  readonly client: Pick<LibvirtClient, 'call' | 'ready'>
  readonly deps: IsoDeps
  readonly inventory: Pick<DomainInventory, 'settle'>
  /** Those of the OperationManager. */
  readonly locks: KeyedLock
  readonly log: Logger
}

/** The guest is asked for the tray first, and libvirt waits for its answer. */
const UPDATE_TIMEOUT_MS = 60_000

/** Changes the media in CD-ROM drives, of running VMs and for their next start alike. */
export class MediaChanger {
  readonly #parts: MediaChangerParts

  constructor(parts: MediaChangerParts) {
    this.#parts = parts
  }

  /**
   * Puts an ISO into a drive, or takes out what is in it; the same again is success. Of a running VM both the guest and the definition change, or neither. Errors: VM_NOT_FOUND,
   * CDROM_NOT_FOUND, CDROM_LOCKED, those of `findIso`, LIBVIRT_*.
   */
  async change(vmId: string, change: MediaChange, signal: AbortSignal): Promise<ChangedMedia> {
    if (change.isoPath !== '' && !change.isoPath.startsWith('/')) splitRelative(change.isoPath)
    return changeVm(this.#parts, vmId, signal, async (ctx) => {
      const { client, deps, inventory } = this.#parts
      const halves = await readHalves(client, vmId, ctx.signal)
      const poolIds = halves.config.facts.disks.map(({ poolId }) => poolId).filter((poolId) => poolId !== '')
      const find = async (what: string) =>
        change.isoPath === '' ? '' : findIso(change.isoPath, what, poolIds, deps, ctx)
      if (change.isoPath !== '' && isNextCdrom(halves.config.facts, change.device)) {
        const added = await addCdrom(vmId, halves, await find(`CD-ROM ${change.device} of VM ${vmId}`), client, ctx)
        await inventory.settle(vmId)
        return added
      }
      const drive = chooseCdrom(halves.config.facts, change.device)
      const what = `CD-ROM ${drive.id} of VM ${vmId}`
      const path = await find(what)
      const { targetDev } = drive
      const isDone = (now: DomainHalves) =>
        holds(now.config, targetDev, path) && (now.live === undefined || holds(now.live, targetDev, path))
      if (!isDone(halves))
        await this.#update(vmId, halves, { targetDev, path, what }, change.force ?? true, isDone, ctx)
      await inventory.settle(vmId)
      return { targetDev, path }
    })
  }

  async #update(
    vmId: string,
    halves: DomainHalves,
    { targetDev, path, what }: ChangedMedia & { readonly what: string },
    force: boolean,
    isDone: (halves: DomainHalves) => boolean,
    ctx: OpContext,
  ): Promise<void> {
    const { client } = this.#parts
    const drive = mediaXml(halves.config).find((disk) => disk.first('target')?.attribute('dev') === targetDev)
    if (drive === undefined) throw new AgentError('INTERNAL', `${what} is not in its definition`)
    const xml = writeXml(withMedium(drive, path))
    const update = (extra: number) => {
      const args = { dom: domainRef(vmId), xml, flags: bothHalves(halves) | extra }
      const call = () => client.call('remote:DOMAIN_UPDATE_DEVICE_FLAGS', args, { timeoutMs: UPDATE_TIMEOUT_MS })
      return changeHalves(client, vmId, call, isDone)
    }
    try {
      await update(0)
    } catch (error) {
      if (!isLocked(error)) throw error
      if (!force) {
        throw new AgentError(
          'CDROM_LOCKED',
          `${what}: the guest has locked the tray; eject it in the guest, or force it`,
          {
            cause: error,
          },
        )
      }
      ctx.log.warn({ vm: vmId, drive: targetDev }, 'the guest keeps the tray of a CD-ROM drive locked; forcing it open')
      await update(VIR_DOMAIN_DEVICE_MODIFY_FORCE)
    }
  }
}

function holds(half: DomainHalf, targetDev: string, path: string): boolean {
  return half.facts.cdroms.some((drive) => drive.targetDev === targetDev && drive.path === path)
}

// Everything else of the drive (address, boot order) has to stay as it is: libvirt takes the element as the whole new definition.
function withMedium(drive: XmlElement, path: string): XmlNode {
  const { attributes, children } = toNode(drive, (child) =>
    child.name === 'source' || child.name === 'backingStore' ? false : toNode(child),
  )
  const medium = path === '' ? [] : [el('source', { file: path })]
  return {
    name: 'disk',
    attributes: { ...attributes, type: 'file' },
    children: [...medium, ...(children as readonly XmlNode[])],
  }
}

// QEMU has asked the guest, which did not open it: libvirt's words for that have changed over time.
function isLocked(error: unknown): boolean {
  const cause = error instanceof AgentError ? error.cause : error
  return cause instanceof LibvirtError && /locked|waiting to open tray/i.test(cause.message)
}
