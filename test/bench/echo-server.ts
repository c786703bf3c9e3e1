/** The peer of the gRPC figures: grpc-js with nothing behind it. Sends its address to the parent. */
import path from 'node:path'
import {
  loadPackageDefinition,
  Server,
  ServerCredentials,
  type sendUnaryData,
  type ServiceClientConstructor,
} from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'

const definition = loadSync('limiquantix/node/v1/node_daemon.proto', {
  includeDirs: [path.join(import.meta.dirname, '..', '..', 'proto')],
  longs: Number,
  defaults: true,
})
const loaded = loadPackageDefinition(definition) as unknown as {
  limiquantix: { node: { v1: { NodeDaemonService: ServiceClientConstructor } } }
}
const server = new Server()
server.addService(loaded.limiquantix.node.v1.NodeDaemonService.service, {
  HealthCheck: (_: unknown, done: sendUnaryData<object>) =>
    done(null, {
      healthy: true,
      version: '0',
      hypervisor: 'libvirt/QEMU',
      hypervisorVersion: '9.0.0',
      uptimeSeconds: 1,
    }),
  ListVMs: (_: unknown, done: sendUnaryData<object>) => done(null, { vms: [] }),
})
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error
  process.send?.(`127.0.0.1:${port}`)
})
