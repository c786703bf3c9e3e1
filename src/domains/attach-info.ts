import { placeOf, type Volume } from '../core/model.ts'
import { writeXml } from '../libvirt/write-xml.ts'
import { el } from '../libvirt/xml-node.ts'
import { readMounts } from '../platform/mounts.ts'
import { diskIoFor } from './disk-io.ts'
import { driverXml, sourceXml } from './disk-xml.ts'

/** How a volume is attached to a VM (contract 1.4, VolumeAttachInfo). */
export interface AttachInfo {
  /** Path of the file or device; `rbd:<pool>[/<namespace>]/<image>` for a Ceph image, which has none. */
  readonly path: string
  /** `<disk>` for libvirt. Its target `vda` stands for the first free name of the VM. */
  readonly diskXml: string
}

/** Path and `<disk>` of a volume, as the agent itself would attach it. */
export async function attachInfo({ source }: Pick<Volume, 'source'>): Promise<AttachInfo> {
  const disk = el('disk', { type: source.type, device: 'disk' }, [
    driverXml(source, diskIoFor(source, await readMounts())),
    sourceXml(source),
    // A qcow2 may be an overlay, whose layers it names itself; a raw volume is all there is, whatever a guest has written into it.
    source.format === 'raw' && el('backingStore'),
    el('target', { dev: 'vda', bus: 'virtio' }),
  ])
  return { path: placeOf(source), diskXml: writeXml(disk) }
}
