/** The subject of a certificate in one line, such as `O=cluster,CN=control-plane`; undefined for none. */
export function certificateSubject(certificate: { readonly subject?: object } | undefined): string | undefined {
  // Node gives an empty object for a peer without a certificate.
  const parts = Object.entries(certificate?.subject ?? {}).map(([name, value]) => `${name}=${String(value)}`)
  return parts.length === 0 ? undefined : parts.join(',').slice(0, 256)
}
