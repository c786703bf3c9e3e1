import type os from 'node:os'
import path from 'node:path'
import type { NicFacts } from '../core/model.ts'
import { followLink, listNames, readAttribute, readNumber } from '../platform/sysfs.ts'

/** A network interface with what only the registration needs. */
export interface NicDetails extends NicFacts {
  /** Has a device of its own behind it. */
  readonly physical: boolean
  /** undefined = none or not told. */
  readonly numaNode: number | undefined
  /** Virtual functions the device can have; 0 = no SR-IOV. */
  readonly sriovVfsTotal: number
  readonly sriovVfsUsed: number
}

/** Addresses per interface, as os.networkInterfaces() gives them. */
export type InterfaceAddresses = Readonly<Record<string, readonly os.NetworkInterfaceInfo[] | undefined>>

// ARPHRD_LOOPBACK of if_arp.h.
const TYPE_LOOPBACK = 772

/**
 * The host's own interfaces: physical ones, bonds, bridges, VLANs, and whatever else has an address. Loopback and the guests' taps are left out. Link and
 * speed are those of now; speed 0 = not known (virtual, or link down).
 */
export async function readNics(sys: string, addresses: InterfaceAddresses): Promise<NicDetails[]> {
  const root = path.join(sys, 'class/net')
  const nics = await Promise.all((await listNames(root)).map((name) => readNic(root, name, addresses[name] ?? [])))
  return nics.filter((nic) => nic !== undefined)
}

async function readNic(
  root: string,
  name: string,
  addresses: readonly os.NetworkInterfaceInfo[],
): Promise<NicDetails | undefined> {
  const directory = path.join(root, name)
  const entries = new Set(await listNames(directory))
  // Files such as bonding_masters are not interfaces; a tap belongs to a guest.
  if (!entries.has('address') || entries.has('tun_flags')) return undefined
  if ((await readNumber(directory, 'type')) === TYPE_LOOPBACK) return undefined
  const physical = entries.has('device')
  const composite = entries.has('bonding') || entries.has('bridge') || /^DEVTYPE=vlan$/m.test(await uevent(directory))
  if (!physical && !composite && addresses.length === 0) return undefined
  const numaNode = await readNumber(directory, 'device/numa_node')
  return {
    name,
    macAddress: await readAttribute(directory, 'address'),
    ipAddresses: addresses.map((address) => address.address),
    speedMbps: Math.max(0, (await readNumber(directory, 'speed')) ?? 0),
    up: await isUp(directory),
    driver: path.basename(await followLink(directory, 'device/driver')),
    mtu: (await readNumber(directory, 'mtu')) ?? 0,
    physical,
    numaNode: numaNode !== undefined && numaNode >= 0 ? numaNode : undefined,
    sriovVfsTotal: (await readNumber(directory, 'device/sriov_totalvfs')) ?? 0,
    sriovVfsUsed: (await readNumber(directory, 'device/sriov_numvfs')) ?? 0,
  }
}

function uevent(directory: string): Promise<string> {
  return readAttribute(directory, 'uevent')
}

// Drivers that do not track the link say "unknown"; then the carrier decides.
async function isUp(directory: string): Promise<boolean> {
  const state = await readAttribute(directory, 'operstate')
  if (state === 'up') return true
  return state === 'unknown' && (await readAttribute(directory, 'carrier')) === '1'
}
