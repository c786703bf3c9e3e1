import { discovery, registrationToken, type Discovery } from './discover-schemas.ts'

/** What a control plane answers its UI when it looked at a host (POST /api/nodes/discover). */
export type Discovered =
  | { readonly ok: true; readonly host: Discovery; readonly expiresAt: string }
  | { readonly ok: false; readonly code: string; readonly message: string }

const TIMEOUT_MS = 30_000

/** Looks at a host as control planes do before they add it: ping, token, discovery, one after the other. */
export async function discoverHost(hostUrl: string, token: string): Promise<Discovered> {
  const ask = async (name: string, headers: Record<string, string>) => {
    const signal = AbortSignal.timeout(TIMEOUT_MS)
    const answer = await fetch(`${hostUrl}/api/v1/registration/${name}`, { headers, signal })
    return { status: answer.status, type: answer.headers.get('content-type') ?? '', text: await answer.text() }
  }
  const bearer = { authorization: `Bearer ${token}` }
  try {
    const ping = await ask('ping', {})
    if (ping.status !== 200) return failure('HOST_API_NOT_AVAILABLE', `ping: HTTP ${ping.status}`)
    if (ping.text.startsWith('<') || ping.type.includes('text/html'))
      return failure('HOST_FIRMWARE_OUTDATED', 'a web page')

    const checked = await ask('token', bearer)
    if (checked.status !== 200) return failure(tokenCode(checked.status, checked.text), checked.text)
    const life = registrationToken.safeParse(parseJson(checked.text))
    if (!life.success) return failure('INVALID_RESPONSE', life.error.message)

    const found = await ask('discovery', bearer)
    if (found.status !== 200) return failure('DISCOVERY_FAILED', `HTTP ${found.status}: ${found.text}`)
    const host = discovery.safeParse(parseJson(found.text))
    if (!host.success) return failure('INVALID_RESPONSE', host.error.message)
    return { ok: true, host: host.data, expiresAt: life.data.expiresAt }
  } catch (error) {
    return failure('HOST_CONNECTION_FAILED', String(error))
  }
}

// The control plane's own rules: the word decides when the code does not.
function tokenCode(status: number, text: string): string {
  const { error, message } = (parseJson(text) ?? {}) as { error?: string; message?: string }
  if (status === 404) return 'TOKEN_MISSING'
  return status === 401 && (error === 'token_expired' || String(message).includes('expired'))
    ? 'TOKEN_EXPIRED'
    : 'TOKEN_INVALID'
}

function failure(code: string, message: string): Discovered {
  return { ok: false, code, message }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
