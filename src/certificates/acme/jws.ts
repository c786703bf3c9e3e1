import { createHash, createPublicKey, sign, type KeyObject } from 'node:crypto'

/** The public part of an account's key as RFC 7517 has it. */
export interface PublicJwk {
  readonly crv: string
  readonly kty: string
  readonly x: string
  readonly y: string
}

/** The public part of an EC P-256 key, its members in the order that RFC 7638 wants for thumbprints. */
export function publicJwk(key: KeyObject): PublicJwk {
  const { crv = '', kty = '', x = '', y = '' } = createPublicKey(key).export({ format: 'jwk' })
  return { crv, kty, x, y }
}

/** SHA-256 thumbprint of the key (RFC 7638). */
export function thumbprint(key: KeyObject): string {
  return createHash('sha256')
    .update(JSON.stringify(publicJwk(key)))
    .digest('base64url')
}

/** A request body in flattened JSON serialisation, signed with ES256 (RFC 7515, RFC 8555 6.2). An absent payload is "POST-as-GET". */
export function signedBody(
  key: KeyObject,
  header: Readonly<Record<string, unknown>>,
  payload: object | undefined,
): string {
  const protectedPart = base64url(JSON.stringify({ alg: 'ES256', ...header }))
  const payloadPart = payload === undefined ? '' : base64url(JSON.stringify(payload))
  const data = Buffer.from(`${protectedPart}.${payloadPart}`)
  const signature = sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')
  return JSON.stringify({ protected: protectedPart, payload: payloadPart, signature })
}

function base64url(text: string): string {
  return Buffer.from(text).toString('base64url')
}
