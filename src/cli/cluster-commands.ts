import { z } from 'zod'
import type { AgentClient } from './agent-client.ts'
import { readPem } from './read-pem.ts'

/** What a command needs to know of this host besides what the running agent tells. */
export interface CommandContext {
  readonly agent: AgentClient
  /** Of the listener that control planes are to be told of. */
  readonly scheme: 'http' | 'https'
  readonly httpPort: number
  /** Other machines can reach the listeners as they are configured. */
  readonly reachable: boolean
  readonly configFile: string
  print(line: string): void
}

const status = z.object({
  joined: z.boolean(),
  controlPlaneAddress: z.string().nullable(),
  nodeId: z.string().nullable(),
  lastHeartbeat: z.string().nullable(),
  status: z.string(),
  mode: z.string(),
  consecutiveFailures: z.number(),
  lastError: z.string().nullable(),
})
const health = z.object({
  healthy: z.boolean(),
  version: z.string(),
  hypervisor: z.string(),
  uptimeSeconds: z.number(),
})
const newToken = z.object({
  token: z.string(),
  expiresAt: z.string(),
  expiresInSeconds: z.number(),
  hostname: z.string(),
  managementIp: z.string(),
})

export interface JoinOptions {
  /** Empty or that of this host. */
  readonly token: string
  /** A file with the authority for certificates of clients, which is installed first. */
  readonly ca?: string | undefined
  /** Has that authority sign a certificate for this host before it joins. */
  readonly enrol?: { readonly url: string; readonly caFingerprint: string | undefined }
}

/**
 * Joins the control plane at `url`. Errors of POST /api/v1/cluster/join, and of POST /api/v1/settings/certificates/enrol or …/authorities; USAGE for a file that
 * cannot be read.
 */
export async function joinCommand(
  context: CommandContext,
  url: string,
  { token, ca, enrol }: JoinOptions,
): Promise<void> {
  const caCertificate = ca === undefined ? undefined : await readPem(ca)
  const certificates = '/api/v1/settings/certificates'
  if (enrol !== undefined) {
    // First, so that the control plane is called back by nobody else's certificate; what failed half-way can be repeated.
    await context.agent.call('POST', `${certificates}/enrol`, { ...enrol, token, caCertificate })
    context.print('The certificate of this host was signed by the authority of the cluster.')
  } else if (caCertificate !== undefined) {
    await context.agent.call('POST', `${certificates}/authorities`, { caCertificate })
  }
  const body = { controlPlaneAddress: url, ...(token === '' ? {} : { registrationToken: token }) }
  const now = status.parse(await context.agent.call('POST', '/api/v1/cluster/join', body))
  context.print(`Joined ${now.controlPlaneAddress ?? url}; heartbeats follow, also after restarts of the agent.`)
  if (!context.reachable) warnUnreachable(context)
  context.print('See limiquantix-node status.')
}

/** Leaves the control plane. Success when there is none. Errors of POST /api/v1/cluster/leave. */
export async function leaveCommand({ agent, print }: CommandContext): Promise<void> {
  await agent.call('POST', '/api/v1/cluster/leave')
  print('This host belongs to no control plane now. Its pools and VMs are as they were.')
  print('The control plane still lists the host until it is removed there.')
}

/** Prints what the running agent says of itself and its link. */
export async function statusCommand({ agent, print }: CommandContext, now = Date.now()): Promise<void> {
  const self = health.parse(await agent.call('GET', '/api/v1/host/health'))
  const link = status.parse(await agent.call('GET', '/api/v1/cluster/status'))
  const rows: [string, string][] = [
    ['agent', `${self.version}, up ${self.uptimeSeconds} s`],
    ['hypervisor', `${self.hypervisor}, ${self.healthy ? 'connected' : 'not connected'}`],
    ['control plane', link.joined ? `${link.controlPlaneAddress} (by ${link.mode})` : 'none'],
  ]
  if (link.joined) {
    const heard = link.lastHeartbeat
    const ago = heard === null ? '' : ` (${Math.max(0, Math.round((now - Date.parse(heard)) / 1000))} s ago)`
    rows.push(
      ['link', link.consecutiveFailures > 0 ? `${link.status}, ${link.consecutiveFailures} missed` : link.status],
      ['node id', link.nodeId ?? '(not registered yet)'],
      ['last heartbeat', heard === null ? 'none yet' : `${heard}${ago}`],
    )
    if (link.lastError !== null) rows.push(['last error', link.lastError])
  }
  for (const [name, value] of rows) print(`${`${name}:`.padEnd(16)}${value}`)
}

/** Makes a registration token and prints it with what an admin types into a control plane. */
export async function tokenCommand(context: CommandContext): Promise<void> {
  const { agent, scheme, httpPort, print } = context
  const made = newToken.parse(await agent.call('POST', '/api/v1/registration/token'))
  const address = made.managementIp || made.hostname
  print(`Host URL:  ${scheme}://${address.includes(':') ? `[${address}]` : address}:${httpPort}`)
  print(`Token:     ${made.token}`)
  const minutes = Math.round(made.expiresInSeconds / 60)
  print(`Good until ${made.expiresAt} (${minutes} minutes), for one registration. It replaces any earlier token.`)
  if (!context.reachable) warnUnreachable(context)
}

function warnUnreachable({ print, configFile }: CommandContext): void {
  print('Note: the agent listens on loopback only, so a control plane on another machine cannot call it. In')
  print(`${configFile} set server.listen_address: 0.0.0.0:9090, server.http.listen_address: 0.0.0.0:8080 and`)
  print("server.allow_from to the control plane's address; then: systemctl restart limiquantix-node")
}
