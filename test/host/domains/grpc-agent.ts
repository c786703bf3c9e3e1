import { credentials } from '@grpc/grpc-js'
import { silentLogger } from '../../../src/core/context.ts'
import type { NodeDaemonServiceClient } from '../../../src/grpc/gen/limiquantix/node/v1/NodeDaemonService.ts'
import { loadNodeDaemonService } from '../../../src/grpc/load-service.ts'
import { startGrpcServer } from '../../../src/grpc/server.ts'
import type { Services } from '../../../src/services/contracts.ts'
import { fakeServices } from '../../unit/grpc/fake-services.ts'

export { ask, failure } from '../../unit/grpc/client.ts'

const Client = loadNodeDaemonService()

/** A gRPC server over the given services, those that are missing answered by fakes, and a client generated from the proto. */
export async function openGrpc(
  services: Partial<Services>,
): Promise<{ client: NodeDaemonServiceClient; close(): void }> {
  const server = await startGrpcServer({
    services: { ...fakeServices(), ...services },
    listenAddresses: ['127.0.0.1:0'],
    log: silentLogger,
  })
  const client = new Client(`127.0.0.1:${server.ports[0]}`, credentials.createInsecure())
  return {
    client,
    close() {
      client.close()
      server.forceClose()
    },
  }
}
