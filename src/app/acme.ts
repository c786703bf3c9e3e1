import { readFile } from 'node:fs/promises'
import { AcmeIssuer } from '../certificates/acme/acme-issuer.ts'
import type { HostCertificate } from '../certificates/host-certificate.ts'
import type { Logger } from '../core/context.ts'
import { AgentError, errorText } from '../core/errors.ts'
import { startRedirectServer } from '../http/redirect-server.ts'
import { createHttpsExchange } from '../platform/https-exchange.ts'
import { trustedAuthorities } from '../platform/trusted-authorities.ts'
import { splitListenAddress } from './config.ts'
import type { Config } from './config-schema.ts'
import { USER_AGENT } from './version.ts'

/** Answers to challenges of ACME servers, from whoever has one under way. */
export class AcmeChallenges {
  #current: ((token: string) => string | undefined) | undefined

  readonly answer = (token: string): string | undefined => this.#current?.(token)

  /** Asks `answer` until the returned function is called. */
  use(answer: (token: string) => string | undefined): () => void {
    this.#current = answer
    return () => {
      this.#current = undefined
    }
  }
}

/** The issuer as the configuration wants it. It opens `redirect_port` for the time of a challenge, where the listener for redirects does not serve it anyway. */
export function composeAcme(
  config: Config,
  certificate: HostCertificate,
  challenges: AcmeChallenges,
  log: Logger,
): AcmeIssuer {
  const { tls } = config.server.http
  const { acme } = tls
  const { host } = splitListenAddress(tls.listen_address)
  const isServed = config.server.http.enabled && tls.enabled && tls.redirect_http
  return new AcmeIssuer({
    settings: {
      enabled: tls.mode === 'acme' || acme.enabled,
      // Only the mode lets the agent ask by itself.
      domains: tls.mode === 'acme' ? acme.domains : [],
      email: acme.email,
      directoryUrl: acme.directory_url,
      accountPath: acme.account_path,
      autoRenew: acme.auto_renew,
      renewBeforeDays: acme.renew_before_days,
    },
    certificate,
    async openExchange() {
      const own = acme.ca_file === undefined ? [] : [await readAuthorities(acme.ca_file)]
      return createHttpsExchange([...(await trustedAuthorities(undefined)), ...own], USER_AGENT)
    },
    async serveChallenges(answer) {
      const end = challenges.use(answer)
      const listen = { host, port: tls.redirect_port }
      const server = isServed ? undefined : await startRedirectServer({ listen, challenge: challenges.answer, log })
      return {
        async close() {
          end()
          await server?.close()
        },
      }
    },
    log,
  })
}

async function readAuthorities(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    const text = `server.http.tls.acme.ca_file ${file} cannot be read: ${errorText(error)}`
    throw new AgentError('CONFIG_INVALID', text, { cause: error })
  }
}
