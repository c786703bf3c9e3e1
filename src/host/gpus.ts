import path from 'node:path'
import type { GpuFacts } from '../core/model.ts'
import { followLink, listNames, readAttribute, readNumber } from '../platform/sysfs.ts'

// PCI vendors that make display controllers, real and emulated.
const VENDORS: Readonly<Record<string, string>> = {
  '0x1002': 'AMD',
  '0x1013': 'Cirrus Logic',
  '0x102b': 'Matrox',
  '0x10de': 'NVIDIA',
  '0x1234': 'QEMU',
  '0x15ad': 'VMware',
  '0x1a03': 'ASPEED',
  '0x1af4': 'Red Hat',
  '0x1b36': 'Red Hat',
  '0x8086': 'Intel',
}
// PCI base class 03h: display controllers (VGA, XGA, 3D).
const DISPLAY_CLASS = /^0x03/

/** Display controllers of the host, by PCI address. The name is `<vendor> <device id>`, or what the driver calls the product. */
export async function readGpus(sys: string): Promise<GpuFacts[]> {
  const root = path.join(sys, 'bus/pci/devices')
  const gpus = await Promise.all((await listNames(root)).map((address) => readGpu(root, address)))
  return gpus.filter((gpu) => gpu !== undefined)
}

async function readGpu(root: string, pciAddress: string): Promise<GpuFacts | undefined> {
  const at = path.join(root, pciAddress)
  if (!DISPLAY_CLASS.test(await readAttribute(at, 'class'))) return undefined
  const vendorId = await readAttribute(at, 'vendor')
  const vendor = VENDORS[vendorId] ?? vendorId
  const deviceId = (await readAttribute(at, 'device')).replace(/^0x/, '')
  const group = await followLink(at, 'iommu_group')
  return {
    name: (await readAttribute(at, 'product_name')) || (await readAttribute(at, 'label')) || `${vendor} ${deviceId}`,
    vendor,
    pciAddress,
    driver: path.basename(await followLink(at, 'driver')),
    memoryBytes: Math.max(0, (await readNumber(at, 'mem_info_vram_total')) ?? 0),
    vgpuProfiles: await readProfiles(at),
    passthroughCapable: group !== '',
  }
}

// The kernel's mediated devices: one directory per kind of virtual GPU.
async function readProfiles(at: string): Promise<string[]> {
  const types = await listNames(at, 'mdev_supported_types')
  return Promise.all(types.map(async (type) => (await readAttribute(at, 'mdev_supported_types', type, 'name')) || type))
}
