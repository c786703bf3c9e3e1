import { AgentError } from '../core/errors.ts'
import type { DiskSource } from '../core/model.ts'
import { isUnsupported } from '../libvirt/errors.ts'
import { writeXml } from '../libvirt/write-xml.ts'
import { el } from '../libvirt/xml-node.ts'
import type { LibvirtCalls } from './libvirt-domain.ts'

const TIMEOUT_MS = 180_000

/**
 * Throws CEPH_NAMESPACE_UNSUPPORTED when libvirt would not find a Ceph image in a namespace: up to 10.0 at least it takes `<namespace>/<image>` for the name of the image, and
 * such a VM is defined but never starts. Version numbers tell nothing, since distributions add patches: libvirt is asked what it would tell QEMU. Does
 * nothing for other disks. Errors: LIBVIRT_*.
 */
export async function requireNamespaces(source: DiskSource, libvirt: LibvirtCalls, signal: AbortSignal): Promise<void> {
  if (source.type !== 'network') return
  const [, namespace, image] = source.name.split('/')
  if (namespace === undefined || image === undefined) return
  if (await speaksOf(namespace, source.name, libvirt, signal)) return
  throw new AgentError(
    'CEPH_NAMESPACE_UNSUPPORTED',
    `the libvirt of this host cannot open Ceph image ${source.name}: it does not know namespaces; use a pool without a namespace`,
  )
}

async function speaksOf(namespace: string, name: string, libvirt: LibvirtCalls, signal: AbortSignal): Promise<boolean> {
  const domainXml = writeXml(
    el('domain', { type: 'qemu' }, [
      el('name', {}, 'namespace-probe'),
      el('memory', { unit: 'KiB' }, '65536'),
      el('os', {}, [el('type', { arch: 'x86_64', machine: 'q35' }, 'hvm')]),
      el('devices', {}, [
        el('disk', { type: 'network', device: 'disk' }, [
          el('driver', { name: 'qemu', type: 'raw' }),
          el('source', { protocol: 'rbd', name }, [el('host', { name: '127.0.0.1', port: 6789 })]),
          el('target', { dev: 'vda', bus: 'virtio' }),
        ]),
      ]),
    ]),
  )
  try {
    const args = { nativeFormat: 'qemu-argv', domainXml, flags: 0 }
    const { nativeConfig } = await libvirt.call('remote:CONNECT_DOMAIN_XML_TO_NATIVE', args, {
      timeoutMs: TIMEOUT_MS,
      signal,
    })
    return nativeConfig.includes(`"namespace":${JSON.stringify(namespace)}`)
  } catch (error) {
    // A driver that cannot tell is not known to fail.
    if (isUnsupported(error)) return true
    throw error
  }
}
