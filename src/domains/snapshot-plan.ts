import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import { el, type XmlNode } from '../libvirt/xml-node.ts'
import { isXmlText } from '../libvirt/xml-node.ts'
import { mediaXml, type DomainHalves } from './domain-halves.ts'
import type { DomainDisk } from './domain-info.ts'
import type { PlannedOverlay } from './overlay-plan.ts'

const NAME = /^[\p{L}\p{N}][\p{L}\p{N} ._:+()@-]{0,126}$/u
const MAX_DESCRIPTION_BYTES = 4096

/**
 * A name that libvirt, QEMU and qcow2 all take as it is: letters and digits of any script, blanks and `._:+()@-`. A bare number is refused, because QEMU would take it for the number of a
 * snapshot. INVALID_NAME.
 */
export function parseVmSnapshotName(name: string): string {
  if (NAME.test(name) && Buffer.byteLength(name) <= 200 && !/^\d+$/.test(name) && name.trim() === name) return name
  throw new AgentError(
    'INVALID_NAME',
    `name: ${quote(name)} cannot be the name of a snapshot; use letters, digits, blanks and ._:+()@-, beginning with a letter or digit, no bare number`,
  )
}

/** Text about a snapshot. INVALID_REQUEST when it is too long or cannot be stored. */
export function parseDescription(text: string): string {
  if (isXmlText(text) && Buffer.byteLength(text) <= MAX_DESCRIPTION_BYTES) return text
  throw new AgentError('INVALID_REQUEST', `description: it is longer than ${MAX_DESCRIPTION_BYTES} bytes or not text`)
}

/** `<domainsnapshot>` that keeps `disks` inside their files, and the memory of a running guest with them. */
export function snapshotXml(
  { name, description }: { readonly name: string; readonly description: string },
  halves: DomainHalves,
  disks: readonly DomainDisk[],
): XmlNode {
  const kept = new Set(disks.map(({ targetDev }) => targetDev))
  const targets = mediaXml(halves.live ?? halves.config).map((disk) => disk.first('target')?.attribute('dev') ?? '')
  return el('domainsnapshot', {}, [
    el('name', {}, name),
    description !== '' && el('description', {}, description),
    halves.live !== undefined && el('memory', { snapshot: 'internal' }),
    el(
      'disks',
      {},
      targets.map((target) => el('disk', { name: target, snapshot: kept.has(target) ? 'internal' : 'no' })),
    ),
  ])
}

/** `<domainsnapshot>` that keeps the disks of `plans` as they are, and has the VM go on in their overlays, which are there. */
export function externalXml(
  { name, description }: { readonly name: string; readonly description: string },
  halves: DomainHalves,
  plans: readonly PlannedOverlay[],
): XmlNode {
  const overlays = new Map(plans.map(({ target, overlay }) => [target, overlay.path]))
  const targets = mediaXml(halves.live ?? halves.config).map((disk) => disk.first('target')?.attribute('dev') ?? '')
  return el('domainsnapshot', {}, [
    el('name', {}, name),
    description !== '' && el('description', {}, description),
    el('memory', { snapshot: 'no' }),
    el(
      'disks',
      {},
      targets.map((target) => {
        const file = overlays.get(target)
        if (file === undefined) return el('disk', { name: target, snapshot: 'no' })
        return el('disk', { name: target, snapshot: 'external', type: 'file' }, [
          el('driver', { type: 'qcow2' }),
          el('source', { file }),
        ])
      }),
    ),
  ])
}
