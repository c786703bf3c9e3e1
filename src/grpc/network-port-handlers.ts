import { AgentError } from '../core/errors.ts'
import type { NetworkPort } from '../core/model.ts'
import type { NetworkPortService, NetworkPortWish, Services } from '../services/contracts.ts'
import { unary, type CallEnvironment } from './call.ts'
import type { ConfigureNetworkPortRequest__Output } from './gen/limiquantix/node/v1/ConfigureNetworkPortRequest.ts'
import { NetworkPortBindingType } from './gen/limiquantix/node/v1/NetworkPortBindingType.ts'
import type { NetworkPortInfo } from './gen/limiquantix/node/v1/NetworkPortInfo.ts'
import { NetworkPortPhase } from './gen/limiquantix/node/v1/NetworkPortPhase.ts'
import type { NodeDaemonServiceHandlers } from './gen/limiquantix/node/v1/NodeDaemonService.ts'

const read = (name: string) => ({ name, changes: false })
const change = (name: string) => ({ name, changes: true })

/** The methods about ports of Open vSwitch. */
export function networkPortHandlers({ networkPorts }: Services, env: CallEnvironment) {
  return {
    GetOVSStatus: unary(env, read('GetOVSStatus'), async (_request: unknown, signal) => {
      const { available, version, ovnConnected, integrationBridge, encapType, encapIp, chassisId } =
        await networkPorts.ovs(signal)
      return {
        available,
        ovsVersion: version,
        ovnControllerConnected: ovnConnected,
        integrationBridge,
        encapType,
        encapIp,
        chassisId,
      }
    }),
    ConfigureNetworkPort: unary(env, change('ConfigureNetworkPort'), async (request, signal) =>
      toMessage(await networkPorts.configure(fromMessage(request), signal), networkPorts),
    ),
    DeleteNetworkPort: unary(env, change('DeleteNetworkPort'), async ({ portId, vmId }, signal) => {
      await networkPorts.delete(portId, vmId, signal)
      return {}
    }),
    GetNetworkPortStatus: unary(env, read('GetNetworkPortStatus'), async ({ portId }, signal) =>
      toMessage(await networkPorts.get(portId, signal), networkPorts),
    ),
    ListNetworkPorts: unary(env, read('ListNetworkPorts'), async (_request: unknown, signal) => ({
      ports: (await networkPorts.list(signal)).map((port) => toMessage(port, networkPorts)),
    })),
  } satisfies Partial<NodeDaemonServiceHandlers>
}

function fromMessage(request: ConfigureNetworkPortRequest__Output): NetworkPortWish {
  const { portId, vmId, networkId, macAddress, ipAddresses, ovnPortName, bindingType, qos } = request
  if (bindingType !== NetworkPortBindingType.NETWORK_PORT_BINDING_NORMAL) {
    throw new AgentError('INVALID_REQUEST', 'binding_type: this agent has ports of the normal kind only')
  }
  return {
    portId,
    vmId,
    networkId,
    macAddress,
    ipAddresses,
    ovnPortName,
    rates: {
      ingressKbps: qos?.ingressRateKbps ?? 0,
      ingressBurstKb: qos?.ingressBurstKb ?? 0,
      egressKbps: qos?.egressRateKbps ?? 0,
      egressBurstKb: qos?.egressBurstKb ?? 0,
    },
    isSecured: request.portSecurityEnabled || request.securityGroupIds.length > 0,
  }
}

function toMessage(port: NetworkPort, ports: NetworkPortService): NetworkPortInfo {
  return {
    portId: port.portId,
    vmId: port.vmId,
    networkId: port.networkId,
    macAddress: port.macAddress,
    ipAddresses: [...port.ipAddresses],
    phase: NetworkPortPhase[`NETWORK_PORT_PHASE_${port.phase}`],
    errorMessage: port.error,
    ovsPortName: port.ovsPortName,
    ovnPortName: port.ovnPortName,
    interfaceXml: ports.interfaceXml(port),
    rxBytes: port.rxBytes,
    txBytes: port.txBytes,
    rxPackets: port.rxPackets,
    txPackets: port.txPackets,
  }
}
