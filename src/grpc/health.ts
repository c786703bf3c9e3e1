import type {
  sendUnaryData,
  Server,
  ServerWritableStream,
  UntypedHandleCall,
  UntypedServiceImplementation,
} from '@grpc/grpc-js'
import { HealthImplementation } from 'grpc-health-check'
import type { HostService } from '../services/contracts.ts'
import { SERVICE_NAME } from './load-service.ts'

/** The standard health service: SERVING once the agent is ready, for the server as a whole and for our service by name. */
export interface HealthService {
  /** NOT_SERVING from now on, whatever readiness says. */
  shutdown(): void
}

/** Registers grpc.health.v1.Health. Readiness is read when somebody asks; watchers learn of it at the same moments. */
export function addHealth(
  server: Server,
  host: HostService,
  track: (call: ServerWritableStream<unknown, unknown>) => void,
): HealthService {
  const health = new HealthImplementation()
  let stopping = false
  const refresh = () => {
    const status = !stopping && host.readiness().ready ? 'SERVING' : 'NOT_SERVING'
    for (const service of ['', SERVICE_NAME]) health.setStatus(service, status)
  }
  refresh()
  health.addToServer({
    addService(definition, implementation) {
      const fresh: UntypedServiceImplementation = {}
      for (const [name, handler] of Object.entries(implementation)) {
        const serve = (call: ServerWritableStream<unknown, unknown>, callback: sendUnaryData<unknown>) => {
          refresh()
          if (name === 'watch') track(call)
          ;(handler as unknown as typeof serve)(call, callback)
        }
        fresh[name] = serve as UntypedHandleCall
      }
      server.addService(definition, fresh)
    },
  })
  return {
    shutdown() {
      stopping = true
      refresh()
    },
  }
}
