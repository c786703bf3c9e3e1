import { z } from 'zod'
import type { MembershipStatus } from '../../core/model.ts'
import type { ClusterService, HostService } from '../../services/contracts.ts'
import { requireLocal } from '../bearer.ts'
import { ok, route, type Route } from '../route.ts'
import { optionalText, time, toTime, unsigned } from '../schemas.ts'

const address = z.url({ protocol: /^https?$/, error: 'must be an http or https URL' }).max(2000)

const status = z.object({
  joined: z.boolean(),
  controlPlaneAddress: z.string().nullable(),
  nodeId: z.string().nullable(),
  lastHeartbeat: time.nullable().meta({ description: 'last one that the control plane acknowledged' }),
  status: z.enum(['stopped', 'registering', 'connected', 'disconnected']),
  mode: z.enum(['configuration', 'join', 'none']).meta({ description: 'who decided on the control plane' }),
  clusterName: z.string().nullable(),
  consecutiveFailures: unsigned,
  lastError: z.string().nullable(),
})

const config = z.object({
  enabled: z.boolean(),
  controlPlaneAddress: z.string(),
  nodeId: z.string().nullable(),
  registrationToken: z.null().meta({ description: 'never told' }),
  heartbeatIntervalSecs: unsigned,
})

const newToken = z.object({
  token: z.string(),
  nodeId: z.string(),
  hostName: z.string(),
  managementIp: z.string(),
  expiresAt: time,
})

const join = z.object({ controlPlaneAddress: address, registrationToken: optionalText, clusterName: optionalText })

/** Groups of four letters in a token of this route. */
const TOKEN_GROUPS = 4

/** The host as a member of a control plane's cluster. What changes that is served on the unix socket only, or to a bearer of the host's token. */
export function clusterRoutes(cluster: ClusterService, host: HostService): Route[] {
  return [
    route({
      method: 'GET',
      url: '/api/v1/cluster/status',
      summary: 'Which control plane this host belongs to, and how the link is',
      responses: { 200: status },
      handle: () => ok(toStatusBody(cluster.status())),
    }),
    route({
      method: 'GET',
      url: '/api/v1/cluster/config',
      summary: 'The settings of the link',
      responses: { 200: config },
      handle() {
        const { origin, controlPlane, nodeId, heartbeatIntervalSecs } = cluster.status()
        return ok({
          enabled: origin !== 'none',
          controlPlaneAddress: controlPlane,
          nodeId: nodeId || null,
          registrationToken: null,
          heartbeatIntervalSecs,
        })
      },
    }),
    route({
      method: 'POST',
      url: '/api/v1/cluster/generate-token',
      summary: 'A new registration token in place of the one before; on the unix socket only',
      responses: { 200: newToken },
      async handle(input) {
        requireLocal(input, 'limiquantix-node token')
        const { hostname, managementIp } = await host.facts(input.signal)
        const { token, expiresAt } = await cluster.createToken(TOKEN_GROUPS)
        const { nodeId } = cluster.status()
        const body = { token, nodeId, hostName: hostname, managementIp, expiresAt: toTime(expiresAt) }
        return { status: 200, headers: { 'cache-control': 'no-store' }, body }
      },
    }),
    route({
      method: 'POST',
      url: '/api/v1/cluster/test-connection',
      summary: 'Whether a control plane answers there; on the unix socket only',
      body: z.object({ controlPlaneUrl: address }),
      responses: { 200: z.object({ success: z.boolean(), message: z.string() }) },
      async handle(input) {
        requireLocal(input, 'limiquantix-node join')
        return ok(await cluster.test(input.body.controlPlaneUrl, input.signal))
      },
    }),
    route({
      method: 'POST',
      url: '/api/v1/cluster/join',
      summary: 'Registers this host there and keeps the link up; needs registrationToken, except on the unix socket',
      body: join,
      responses: { 200: status },
      async handle({ body, local, signal }) {
        // On the socket it is root who asks; a token that is given all the same has to be right.
        if (!local || body.registrationToken !== '') await cluster.checkToken(body.registrationToken)
        return ok(toStatusBody(await cluster.join(body.controlPlaneAddress, body.clusterName, signal)))
      },
    }),
    route({
      method: 'POST',
      url: '/api/v1/cluster/leave',
      summary: 'Ends the link and forgets the node id; pools and VMs stay. On the unix socket only',
      responses: { 200: status },
      async handle(input) {
        requireLocal(input, 'limiquantix-node leave')
        return ok(toStatusBody(await cluster.leave()))
      },
    }),
  ]
}

function toStatusBody(now: MembershipStatus): z.input<typeof status> {
  return {
    joined: now.origin !== 'none',
    controlPlaneAddress: now.controlPlane || null,
    nodeId: now.nodeId || null,
    lastHeartbeat: now.lastAckAt === undefined ? null : toTime(now.lastAckAt),
    status: now.state,
    mode: now.origin,
    clusterName: now.clusterName || null,
    consecutiveFailures: now.consecutiveFailures,
    lastError: now.lastError || null,
  }
}
