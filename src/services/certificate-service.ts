import type { AcmeIssuer } from '../certificates/acme/acme-issuer.ts'
import type { Enroller } from '../certificates/enrolment/enroller.ts'
import type { HostCertificate } from '../certificates/host-certificate.ts'
import { AgentError } from '../core/errors.ts'
import { isCommonName } from '../platform/openssl.ts'
import type { CertificateService, CertificateWish } from './contracts.ts'

export interface CertificateServiceOptions {
  readonly certificate: HostCertificate
  readonly acme: AcmeIssuer
  readonly enroller: Enroller
  readonly mode: 'self-signed' | 'manual' | 'acme'
  readonly securityMode: 'closed' | 'compat' | 'mtls'
  /** `host:port` of the HTTPS listener; undefined while it is off. */
  readonly httpsAddress: string | undefined
}

/** What an admin does with the certificate of this host. */
export function createCertificateService(options: CertificateServiceOptions): CertificateService {
  const { certificate, acme, enroller, mode, securityMode, httpsAddress } = options
  const status = () => ({
    ...certificate.status(),
    mode,
    securityMode,
    httpsAddress,
    enrolment: enroller.status(),
  })
  return {
    status,
    async install({ chain, key, authorities }) {
      await certificate.install(chain, key, key === undefined ? 'issued' : 'uploaded', authorities)
      return status()
    },
    async trust(authorities) {
      await certificate.trust(authorities)
      return status()
    },
    async generate(wish) {
      const { validityDays, ...subject } = wish
      await certificate.remake(checked(subject), validityDays)
      return status()
    },
    request: (wish) => certificate.request(checked(wish)),
    async enrol(wish, signal) {
      await enroller.enrol(wish, signal)
      return status()
    },
    acme: () => acme.status(),
    async registerAcme(email, signal) {
      await acme.register(email, signal)
      return acme.status()
    },
    async issueAcme(domains, signal) {
      await acme.issue(domains, signal)
      return status()
    },
  }
}

function checked(wish: CertificateWish): CertificateWish {
  if (wish.commonName !== undefined && !isCommonName(wish.commonName))
    throw new AgentError('INVALID_REQUEST', 'commonName: use letters, digits, spaces and . : _ @ * -')
  return wish
}
