/** The files of undici that its index would load among forty others; it has no export map and the version is pinned. */
declare module 'undici/lib/dispatcher/env-http-proxy-agent.js' {
  import type { EnvHttpProxyAgent } from 'undici'
  const agent: typeof EnvHttpProxyAgent
  export default agent
}
declare module 'undici/lib/core/connect.js' {
  import type { buildConnector } from 'undici'
  const build: typeof buildConnector
  export default build
}
declare module 'undici/lib/dispatcher/dispatcher.js' {
  const dispatcher: { readonly prototype: object }
  export default dispatcher
}
declare module 'undici/lib/api/api-connect.js' {
  const connect: unknown
  export default connect
}
