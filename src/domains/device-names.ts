import type { CdromDefinition, DiskDefinition } from './definition.ts'

/** `vda`, … `vdz`, `vdaa`: the name of the n-th device (from 0) with the given prefix, as the kernel and libvirt count. */
export function deviceName(prefix: string, index: number): string {
  let letters = ''
  for (let rest = index; rest >= 0; rest = Math.floor(rest / 26) - 1) {
    letters = String.fromCharCode(97 + (rest % 26)) + letters
  }
  return prefix + letters
}

/** A device with its target name and, on SCSI and SATA, its place on the bus. */
export interface Placed<T> {
  readonly device: T
  readonly target: string
  readonly unit: number
}

export interface DeviceNames {
  readonly disks: readonly Placed<DiskDefinition>[]
  readonly cdroms: readonly Placed<CdromDefinition>[]
  readonly usesScsi: boolean
  /** SATA controllers needed; each has six ports. */
  readonly sataControllers: number
}

/** Ports of one AHCI controller. */
export const SATA_PORTS = 6

/**
 * Names and places all disks and CD-ROMs of a VM. SCSI disks, SATA disks and CD-ROMs share the prefix `sd`: disks take the first names, and the n-th CD-ROM is
 * called after the number of all disks plus n, which is how the control plane names it too. No two devices ever get the same name.
 */
export function nameDevices(disks: readonly DiskDefinition[], cdroms: readonly CdromDefinition[]): DeviceNames {
  let virtio = 0
  let sd = 0
  let scsiUnit = 0
  let sataUnit = 0
  const placedDisks = disks.map((device) => ({
    device,
    target: device.bus === 'virtio' ? deviceName('vd', virtio++) : deviceName('sd', sd++),
    unit: device.bus === 'scsi' ? scsiUnit++ : device.bus === 'sata' ? sataUnit++ : 0,
  }))
  const placedCdroms = cdroms.map((device, index) => ({
    device,
    target: deviceName('sd', disks.length + index),
    unit: sataUnit++,
  }))
  return {
    disks: placedDisks,
    cdroms: placedCdroms,
    usesScsi: scsiUnit > 0,
    sataControllers: Math.ceil(sataUnit / SATA_PORTS),
  }
}
