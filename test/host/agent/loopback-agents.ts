import path from 'node:path'
import { startAgent, type AgentProcess } from '../../support/agent-process.ts'

/** Ports that control planes dial on every host. */
export const GRPC_PORT = 9090
export const HTTP_PORT = 8080

/** An address of loopback for host `n` (from 2 on), of a network that no other test process uses. */
export function loopbackAddress(n: number): string {
  return `127.${64 + ((process.pid >> 8) & 127)}.${process.pid & 255}.${n}`
}

export interface LoopbackAgent {
  readonly address: string
  readonly hostname: string
  readonly controlPlane: string
  readonly directory: string
  readonly config?: Readonly<Record<string, unknown>>
}

/** An agent with the fixed ports on an address of its own, which registers at the control plane. The same again is its restart. */
export function startLoopbackAgent(options: LoopbackAgent): Promise<AgentProcess> {
  const { address, hostname, controlPlane, directory, config } = options
  return startAgent({
    directory: path.join(directory, hostname, address),
    config: {
      hypervisor: { libvirt_uri: 'qemu+unix:///system?socket=/nowhere/libvirt-sock' },
      ...config,
      node: { hostname, management_ip: address },
      server: { listen_address: `${address}:${GRPC_PORT}`, http: { listen_address: `${address}:${HTTP_PORT}` } },
      control_plane: { address: controlPlane, registration_enabled: true },
      downloads: { allow_private_addresses: true },
    },
  })
}
