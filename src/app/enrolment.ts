import { Enroller } from '../certificates/enrolment/enroller.ts'
import { PendingKey } from '../certificates/enrolment/pending-key.ts'
import type { HostCertificate } from '../certificates/host-certificate.ts'
import type { Logger } from '../core/context.ts'
import type { ClientTls } from '../platform/connect-client.ts'
import { createHttpsExchange } from '../platform/https-exchange.ts'
import { trustedAuthorities } from '../platform/trusted-authorities.ts'
import type { Config } from './config-schema.ts'
import { certificatePaths } from './layout.ts'
import { VERSION } from './version.ts'

/** What asks the cluster's authority for the certificate of this host. */
export function composeEnrolment(
  config: Config,
  certificate: HostCertificate,
  names: (signal: AbortSignal) => Promise<readonly string[]>,
  log: Logger,
): Enroller {
  const { cert, key } = certificatePaths(config)
  return new Enroller({
    certificate,
    certificateFile: cert,
    pendingKey: new PendingKey(`${key}.enrolment`),
    names,
    async openExchange(authorities, options) {
      const believed = [...(await trustedAuthorities(undefined)), ...authorities]
      return createHttpsExchange(believed, `limiquantix-node/${VERSION}`, options)
    },
    log,
  })
}

/** Control planes are believed by the authorities of the host and of the cluster; what the cluster signed for this host is shown to those that ask. */
export function controlPlaneTls(certificate: HostCertificate): ClientTls {
  return async () => {
    const { origin, authorities } = certificate.status()
    const common = await trustedAuthorities(undefined)
    if (origin === undefined) return { ca: common, identity: undefined }
    const { key, chain, authorities: own } = certificate.material()
    const isSigned = authorities.length > 0 && (origin === 'enrolled' || origin === 'issued')
    return { ca: [...common, ...own], identity: isSigned ? { key, cert: chain } : undefined }
  }
}
