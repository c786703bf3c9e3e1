import { z } from 'zod'
import { AgentError } from '../core/errors.ts'
import type { AgentClient } from './agent-client.ts'
import type { CommandLine } from './command-line.ts'
import { readPem } from './read-pem.ts'

const BASE = '/api/v1/settings/certificates'

const facts = z.object({ subject: z.string(), issuer: z.string(), notAfter: z.string(), names: z.array(z.string()) })
const enrolment = z.object({
  server: z.string(),
  nextAttemptAt: z.string().nullable(),
  lastError: z.string().nullable(),
})
const status = z.object({
  enabled: z.boolean(),
  securityMode: z.string(),
  origin: z.string().nullable(),
  certificate: facts.nullable(),
  authorities: z.array(facts),
  revocations: z.array(z.object({ issuer: z.string(), nextUpdate: z.string().nullable() })),
  enrolment: enrolment.nullable(),
  lastError: z.string().nullable(),
})

/** `certificate show|request|install|enrol|generate`; returns the exit code. Errors: USAGE, those of the files and of the agent. */
export async function certificateCommand(line: CommandLine, agent: AgentClient): Promise<number> {
  const action = line.argument('show')
  if (action === 'enrol') {
    const now = status.parse(await enrol(line, agent))
    line.print(now, () => statusText(now))
    return 0
  }
  line.end()
  const files = line.body({ cert: 'certificate', key: 'privateKey', ca: 'caCertificate' })
  if (action === 'request') {
    const { request } = z.object({ request: z.string() }).parse(await agent.call('POST', `${BASE}/request`))
    line.print({ request }, () => request)
    return 0
  }
  const now = status.parse(await change(action, files, line, agent))
  line.print(now, () => statusText(now))
  return 0
}

async function enrol(line: CommandLine, agent: AgentClient): Promise<unknown> {
  const url = line.required('URL')
  line.end()
  const { tokenFile, ca, caFingerprint } = line.body({
    'token-file': 'tokenFile',
    ca: 'ca',
    'ca-fingerprint': 'caFingerprint',
  })
  if (tokenFile === undefined)
    throw new AgentError(
      'USAGE',
      'enrol needs --token-file FILE (/dev/stdin: standard input), which the server knows this host by',
    )
  const token = (await readPem(tokenFile)).trim()
  const caCertificate = ca === undefined ? undefined : await readPem(ca)
  return agent.call('POST', `${BASE}/enrol`, { url, token, caCertificate, caFingerprint })
}

async function change(
  action: string,
  files: Readonly<Record<string, string>>,
  line: CommandLine,
  agent: AgentClient,
): Promise<unknown> {
  if (action === 'show') return agent.call('GET', BASE)
  if (action === 'generate') return agent.call('POST', `${BASE}/generate`)
  if (action !== 'install') return line.unknown(action)
  const body = Object.fromEntries(
    await Promise.all(Object.entries(files).map(async ([key, file]) => [key, await readPem(file)] as const)),
  )
  if (body['certificate'] !== undefined) return agent.call('POST', `${BASE}/upload`, body)
  if (body['caCertificate'] === undefined || body['privateKey'] !== undefined)
    throw new AgentError('USAGE', 'install needs --cert FILE, --ca FILE or both')
  return agent.call('POST', `${BASE}/authorities`, body)
}

function statusText(now: z.output<typeof status>): string {
  const { enabled, securityMode, origin, certificate, authorities, revocations, enrolment, lastError } = now
  const rows: [string, string][] = [
    ['security mode', securityMode],
    ['HTTPS', enabled ? 'on' : 'off'],
    ['certificate', certificate === null ? 'none' : `${certificate.subject} (${origin})`],
  ]
  if (certificate !== null)
    rows.push(
      ['issued by', certificate.issuer],
      ['good until', certificate.notAfter],
      ['good for', certificate.names.join(', ')],
    )
  for (const { subject, notAfter } of authorities) rows.push(['clients of', `${subject}, until ${notAfter}`])
  for (const { issuer, nextUpdate } of revocations)
    rows.push(['revocations of', `${issuer}, ${nextUpdate === null ? 'without an end' : `until ${nextUpdate}`}`])
  if (enrolment !== null) {
    rows.push(['renewed by', `${enrolment.server}, next ${enrolment.nextAttemptAt ?? 'never'}`])
    if (enrolment.lastError !== null) rows.push(['renewal failed', enrolment.lastError])
  }
  if (lastError !== null) rows.push(['last error', lastError])
  return rows.map(([name, value]) => `${`${name}:`.padEnd(16)}${value.replace(/\p{Cc}/gu, '?')}\n`).join('')
}
