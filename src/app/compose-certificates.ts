import { HostCertificate } from '../certificates/host-certificate.ts'
import type { Logger } from '../core/context.ts'
import type { HostInventory } from '../host/inventory.ts'
import { createCertificateService } from '../services/certificate-service.ts'
import { AcmeChallenges, composeAcme } from './acme.ts'
import type { Config } from './config-schema.ts'
import { securityMode } from './config.ts'
import { composeEnrolment, controlPlaneTls } from './enrolment.ts'
import { certificatePaths } from './layout.ts'

/** Builds the certificate of the TLS listeners and what renews it. */
export function composeCertificates(config: Config, inventory: HostInventory, log: Logger) {
  const { tls } = config.server.http
  const names = async (signal: AbortSignal) => {
    const { hostname, managementIp } = await inventory.read(signal)
    return [hostname, managementIp].filter((name) => name !== '')
  }
  const certificate = new HostCertificate({
    paths: certificatePaths(config),
    mode: tls.mode,
    used: tls.enabled || securityMode(config) === 'mtls',
    commonName: tls.self_signed.common_name,
    validityDays: tls.self_signed.validity_days,
    ...(tls.crl_path === undefined ? {} : { crl: tls.crl_path }),
    names,
    log,
  })
  const challenges = new AcmeChallenges()
  const acme = composeAcme(config, certificate, challenges, log)

  const enroller = composeEnrolment(config, certificate, names, log)

  return {
    certificate,
    challenges,
    acme,
    enroller,
    controlPlaneTls: controlPlaneTls(certificate),
    service: createCertificateService({
      certificate,
      acme,
      enroller,
      mode: tls.mode,
      securityMode: securityMode(config),
      httpsAddress: config.server.http.enabled && tls.enabled ? tls.listen_address : undefined,
    }),
  }
}
