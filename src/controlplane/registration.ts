import { z } from 'zod'
import { AgentError } from '../core/errors.ts'
import type { BlockDevice } from '../host/block-devices.ts'
import type { HostDetails } from '../host/inventory.ts'
import type { NicDetails } from '../host/nics.ts'
import type { ConnectClient } from '../platform/connect-client.ts'
import type { StateStore } from '../platform/state-store.ts'

/** RegisterNode's request. Keys of the contract that no control plane reads (taints, agentEndpoint, usage) are left out. */
export interface RegisterNodeRequest {
  readonly hostname: string
  readonly managementIp: string
  readonly labels: Readonly<Record<string, string>>
  readonly role: { readonly compute: boolean; readonly storage: boolean; readonly controlPlane: boolean }
  readonly cpuInfo: object
  readonly memoryInfo: { readonly totalBytes: number; readonly allocatableBytes: number }
  readonly storageDevices: readonly object[]
  readonly networkDevices: readonly object[]
}

const REGISTER_NODE = 'limiquantix.compute.v1.NodeService/RegisterNode'
// The control plane may dial this host for 10 s before it answers.
const REGISTER_TIMEOUT_MS = 20_000
const FACTS_TIMEOUT_MS = 10_000
// StorageDevice.Type of the control plane.
const DEVICE_TYPES: Readonly<Record<BlockDevice['type'], number>> = { HDD: 0, SSD: 1, NVME: 2 }

const registeredNode = z.object({ id: z.string().regex(/^[\w.:-]{1,128}$/) })

/**
 * The facts of a host as RegisterNode wants them. Memory is offered whole (the control plane keeps its own reserve); a speed of 0 is "not known". CONFIG_INVALID
 * when there is no management address.
 */
export function registerNodeRequest(facts: HostDetails, labels: Readonly<Record<string, string>>): RegisterNodeRequest {
  if (facts.managementIp === '') {
    throw new AgentError(
      'CONFIG_INVALID',
      'no address of this host is fit for the control plane to call back; set node.management_ip',
    )
  }
  const { cpu, memory } = facts
  return {
    hostname: facts.hostname,
    managementIp: facts.managementIp,
    labels,
    role: { compute: true, storage: false, controlPlane: false },
    cpuInfo: {
      model: cpu.model,
      sockets: cpu.sockets,
      coresPerSocket: cpu.coresPerSocket,
      threadsPerCore: cpu.threadsPerCore,
      totalThreads: cpu.totalThreads,
      frequencyMhz: cpu.frequencyMhz,
      features: cpu.features,
    },
    memoryInfo: { totalBytes: memory.totalBytes, allocatableBytes: memory.totalBytes },
    storageDevices: facts.blockDevices.filter((device) => !device.removable).map(storageDevice),
    networkDevices: facts.nics.map(networkDevice),
  }
}

function storageDevice(device: BlockDevice): object {
  const { path, model, serial, sizeBytes } = device
  return { path, model, serial, sizeBytes, type: DEVICE_TYPES[device.type] }
}

function networkDevice(nic: NicDetails): object {
  return {
    name: nic.name,
    macAddress: nic.macAddress,
    driver: nic.driver,
    speedMbps: nic.speedMbps,
    mtu: nic.mtu,
    numaNode: nic.numaNode ?? 0,
    sriovCapable: nic.sriovVfsTotal > 0,
    sriovVfsTotal: nic.sriovVfsTotal,
    sriovVfsUsed: nic.sriovVfsUsed,
  }
}

interface RegistrationRecord {
  readonly controlPlane: string
  readonly nodeId: string
  readonly registeredAt: number
}

export interface RegistrarOptions {
  readonly client: ConnectClient
  readonly store: StateStore
  readonly facts: (signal: AbortSignal) => Promise<HostDetails>
  readonly labels: Readonly<Record<string, string>>
}

/** What the control plane was told of the identity of this host. */
export interface ToldHost {
  readonly hostname: string
  readonly managementIp: string
}

/** Makes this host known to one control plane and keeps the node id it gave. */
export interface Registrar {
  /** The id this control plane gave before; undefined when there is none. */
  recall(): Promise<string | undefined>
  /** One attempt, with the facts and the address of now. Returns the node id, which is on disk by then. Errors of ConnectClient.call; CONFIG_INVALID. */
  register(signal: AbortSignal): Promise<string>
  /** Of the last registration that succeeded; undefined before, also after a restart. */
  told(): ToldHost | undefined
}

/** A registrar whose record lives in the state store's `control-plane` collection. */
export function createRegistrar(options: RegistrarOptions): Registrar {
  const { client, store } = options
  const collection = store.collection<RegistrationRecord>('control-plane')
  let told: ToldHost | undefined
  return {
    async recall() {
      const record = await collection.get('registration')
      return record?.controlPlane === client.baseUrl ? record.nodeId : undefined
    },
    async register(signal) {
      const facts = await options.facts(AbortSignal.any([signal, AbortSignal.timeout(FACTS_TIMEOUT_MS)]))
      const request = registerNodeRequest(facts, options.labels)
      const node = await client.call(REGISTER_NODE, request, registeredNode, {
        signal,
        timeoutMs: REGISTER_TIMEOUT_MS,
      })
      await collection.put('registration', {
        controlPlane: client.baseUrl,
        nodeId: node.id,
        registeredAt: Date.now(),
      })
      told = { hostname: facts.hostname, managementIp: facts.managementIp }
      return node.id
    },
    told: () => told,
  }
}
