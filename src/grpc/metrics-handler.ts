import { delay } from '../platform/clock.ts'
import type { Services } from '../services/contracts.ts'
import { fieldChecks } from '../services/request-fields.ts'
import { serverStream, type CallEnvironment } from './call.ts'
import type { NodeDaemonServiceHandlers } from './gen/limiquantix/node/v1/NodeDaemonService.ts'
import { toMetricsMessage } from './metrics-messages.ts'

const DEFAULT_SECONDS = 5
const MAX_SECONDS = 3600

/**
 * StreamMetrics: one message at once, then one per interval. What it tells is read for all streams together, so that many cost no more than one. Ends with UNAVAILABLE while libvirt is away: no
 * VMs would be a lie.
 */
export function metricsHandler({ host, vms }: Services, env: CallEnvironment) {
  return {
    StreamMetrics: serverStream(env, { name: 'StreamMetrics', changes: false }, async function* (request, signal) {
      const check = fieldChecks('INVALID_REQUEST')
      const seconds =
        check.integer(request.intervalSeconds, 'interval_seconds', { max: MAX_SECONDS }) || DEFAULT_SECONDS
      for (;;) {
        const [counters, metrics] = await Promise.all([host.counters(signal), vms.metrics(signal)])
        yield toMetricsMessage(host.load(), counters, metrics)
        await delay(seconds * 1000, signal)
      }
    }),
  } satisfies Partial<NodeDaemonServiceHandlers>
}
