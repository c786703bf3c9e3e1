import { randomUUID } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { makeBootImage } from '../host/domains/boot-sector.ts'
import { until } from '../support/until.ts'
import type { RigForTests } from './use-rig.ts'

/** The agent's state directory on the rig's host. */
const STATE = '/var/lib/limiquantix'
const CREATE_TIMEOUT_MS = 180_000
const BOOT_TIMEOUT_MS = 120_000
/** `<source …>` of the first disk, as virsh prints it. */
const FIRST_SOURCE = /<disk type='(\w+)' device='disk'>.*?<source (?:file|dev|protocol='rbd' name)='([^']*)'/s

/** A VM on the rig whose boot sector has printed on its console. */
export interface BootedVm {
  readonly vmId: string
  /** `<disk type=…>` of its disk: file, block or network. */
  readonly diskType: string
  /** File, device or name of the Ceph image of its disk. */
  readonly source: string
  /** Success when it is gone with its disk. */
  delete(): Promise<void>
}

/** Puts a bootable image of 1 MiB where the agent takes images from outside of pools; its path on the host. */
export async function bootImageOnRig(rig: RigForTests): Promise<string> {
  const directory = await mkdtemp(path.join(tmpdir(), 'lqx-boot-'))
  try {
    const image = path.join(directory, 'boot.qcow2')
    await makeBootImage(image, 'ignores')
    const file = `${STATE}/cloud-images/rig-boot.qcow2`
    await rig.write(file, await readFile(image))
    return file
  } finally {
    await rm(directory, { recursive: true })
  }
}

/** Creates a VM with a disk of 1 GiB in a pool from `backingFile` (a path as the control plane sends it), starts it, and waits until it has booted. */
export async function bootVmOnPool(rig: RigForTests, poolId: string, backingFile: string): Promise<BootedVm> {
  const vmId = randomUUID()
  const name = `rig-${vmId.slice(0, 8)}`
  const disks = [{ id: 'root', poolId, backingFile, sizeGib: 1, bootable: true }]
  const remove = async () => void (await rig.node.call('DeleteVM', { vmId }, CREATE_TIMEOUT_MS))
  try {
    await rig.node.call('CreateVM', { vmId, name, spec: { cpuCores: 1, memoryMib: 64, disks } }, CREATE_TIMEOUT_MS)
    await rig.node.call('StartVM', { vmId }, CREATE_TIMEOUT_MS)
    const log = `${STATE}/vms/${vmId}/console.log`
    await until(async () => (await rig.tryExec(`cat ${log}`)).stdout.includes('BOOTED'), BOOT_TIMEOUT_MS)
    const [, diskType = '', source = ''] = FIRST_SOURCE.exec(await rig.exec(`virsh -q dumpxml ${vmId}`)) ?? []
    return { vmId, diskType, source, delete: remove }
  } catch (error) {
    await remove()
    throw error
  }
}
