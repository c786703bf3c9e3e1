import { credentials, type ServiceError } from '@grpc/grpc-js'
import { silentLogger } from '../../../src/core/context.ts'
import type { NodeDaemonServiceClient } from '../../../src/grpc/gen/limiquantix/node/v1/NodeDaemonService.ts'
import { loadNodeDaemonService } from '../../../src/grpc/load-service.ts'
import { startGrpcServer, type GrpcServer } from '../../../src/grpc/server.ts'
import { createRequestStats, type RequestStats } from '../../../src/services/request-stats.ts'
import type { AuditTrail } from '../../../src/audit/audit-trail.ts'
import { fakeServices, type FakeServices, type Overrides } from './fake-services.ts'

const Client = loadNodeDaemonService()

export interface Rig extends AsyncDisposable {
  readonly services: FakeServices
  readonly server: GrpcServer
  readonly client: NodeDaemonServiceClient
  readonly target: string
  readonly stats: RequestStats
}

/** A real server on loopback over fake services, with a real client. */
export async function startRig(overrides: Overrides = {}, audit?: AuditTrail): Promise<Rig> {
  const services = fakeServices(overrides)
  const stats = createRequestStats()
  const server = await startGrpcServer({
    services,
    listenAddresses: ['127.0.0.1:0'],
    log: silentLogger,
    stats,
    ...(audit === undefined ? {} : { audit }),
  })
  const target = `127.0.0.1:${server.ports[0]}`
  const client = new Client(target, credentials.createInsecure())
  return {
    services,
    server,
    client,
    target,
    stats,
    async [Symbol.asyncDispose]() {
      client.close()
      server.forceClose()
    },
  }
}

type Unary<Req, Res> = (request: Req, callback: (error: ServiceError | null, response?: Res) => void) => unknown

/** A unary call as a promise. */
export function ask<Req, Res>(client: NodeDaemonServiceClient, method: Unary<Req, Res>, request: Req): Promise<Res> {
  return new Promise((resolve, reject) => {
    method.call(client, request, (error, response) => (error ? reject(error) : resolve(response as Res)))
  })
}

/** The error of a call that must fail. */
export async function failure(call: Promise<unknown>): Promise<ServiceError> {
  const outcome = await call.then(
    (value) => ({ value }),
    (error: ServiceError) => ({ error }),
  )
  if ('error' in outcome) return outcome.error
  throw new Error(`the call succeeded: ${JSON.stringify(outcome.value)}`)
}
