import { z } from 'zod'
import { AgentError } from '../../core/errors.ts'
import { placeOf, type DiskSource } from '../../core/model.ts'
import { VIR_ERR } from '../../libvirt/constants.ts'
import { isLibvirtError } from '../../libvirt/errors.ts'
import { devicePlace } from '../device-place.ts'
import { domainRef, type LibvirtCalls } from '../libvirt-domain.ts'
import { vmError } from '../libvirt-errors.ts'

/** Which of two places a guest has as its disk. `off`: no QEMU runs. */
export type GuestSide = 'source' | 'copy' | 'off'

/** A disk of a running guest, and what it is copied from and to. */
export interface CopiedDisk {
  readonly vmId: string
  /** Name in the domain. */
  readonly target: string
  /** libvirt's name of the device. */
  readonly alias: string
  readonly source: DiskSource
  readonly copy: DiskSource
}

const TIMEOUT_MS = 30_000
const blocksAnswer = z.object({
  return: z.array(z.object({ qdev: z.string().optional(), inserted: z.object({ file: z.string() }).optional() })),
})

/**
 * Which of the two the device of a guest is on, by QEMU's word: libvirt may know less, when it died in the middle of a switch. DISK_CHAIN_BROKEN when it is neither, LIBVIRT_*.
 */
export async function readGuestSide(disk: CopiedDisk, libvirt: LibvirtCalls, signal: AbortSignal): Promise<GuestSide> {
  const { vmId, alias, source, copy } = disk
  const file = await readDeviceFile(vmId, alias, libvirt, signal)
  if (file === undefined) return 'off'
  const place = await devicePlace(qemuPlace(file))
  for (const [side, one] of [
    ['source', source],
    ['copy', copy],
  ] as const) {
    if (place === (await devicePlace(placeOf(one)))) return side
  }
  throw new AgentError(
    'DISK_CHAIN_BROKEN',
    `VM ${vmId}: QEMU has ${file} as disk ${disk.target}, which is neither the old nor the new one`,
  )
}

/** QEMU's name of a file, device or Ceph image as a place (placeOf). Pure. */
export function qemuPlace(file: string): string {
  if (file.startsWith('rbd:')) return file.split(':').slice(0, 2).join(':').split('@')[0] ?? file
  if (!file.startsWith('json:')) return file
  const found = rbdNode.safeParse(parse(file.slice('json:'.length)))
  if (!found.success) return file
  const { pool, namespace, image } = found.data
  return `rbd:${[pool, ...(namespace === undefined || namespace === '' ? [] : [namespace]), image].join('/')}`
}

const rbd = z.object({
  driver: z.literal('rbd'),
  pool: z.string(),
  namespace: z.string().optional(),
  image: z.string(),
})
const rbdNode = z.union([rbd, z.object({ file: rbd }).transform(({ file }) => file)])

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

async function readDeviceFile(
  vmId: string,
  alias: string,
  libvirt: LibvirtCalls,
  signal: AbortSignal,
): Promise<string | undefined> {
  const cmd = JSON.stringify({ execute: 'query-block' })
  try {
    const args = { dom: domainRef(vmId), cmd, flags: 0 }
    const { result } = await libvirt.call('qemu:DOMAIN_MONITOR_COMMAND', args, { timeoutMs: TIMEOUT_MS, signal })
    const answer = blocksAnswer.safeParse(JSON.parse(result))
    const isIt = (qdev = '') => qdev === alias || qdev.includes(`/${alias}/`) || qdev.endsWith(`/${alias}`)
    const file = answer.data?.return.find(({ qdev }) => isIt(qdev))?.inserted?.file
    if (file === undefined) throw new AgentError('INTERNAL', `VM ${vmId}: QEMU does not tell what disk ${alias} is`)
    return file
  } catch (error) {
    // It is off.
    if (isLibvirtError(error, VIR_ERR.OPERATION_INVALID)) return undefined
    throw vmError(error, vmId)
  }
}
