import { z } from 'zod'
import type { AcmeStatus } from '../../certificates/acme/acme-issuer.ts'
import type { CertificateFacts } from '../../certificates/certificate-facts.ts'
import type { CertificateService, CertificateStatus } from '../../services/contracts.ts'
import { noContent, ok, route, type Route, type RouteAnswer } from '../route.ts'
import { optionalText, time, toTime } from '../schemas.ts'

const DAY_MS = 24 * 60 * 60_000

const pem = z.string().min(1).max(262_144)
const names = z.array(z.string().min(1).max(253)).max(100)

const facts = z.object({
  subject: z.string(),
  issuer: z.string(),
  serialNumber: z.string(),
  fingerprint: z.string().meta({ description: 'SHA-256' }),
  notBefore: time,
  notAfter: time,
  daysRemaining: z.int().meta({ description: 'negative once it has expired' }),
  names: z.array(z.string()).meta({ description: 'host names and addresses that it is good for' }),
  selfSigned: z.boolean(),
})

const status = z.object({
  enabled: z.boolean().meta({ description: 'the HTTPS listener is on' }),
  listenAddress: z.string().nullable(),
  mode: z.enum(['self-signed', 'manual', 'acme']),
  securityMode: z.enum(['closed', 'compat', 'mtls']),
  origin: z.enum(['self-signed', 'uploaded', 'issued', 'acme', 'enrolled', 'files']).nullable(),
  certificate: facts.nullable(),
  authorities: z.array(facts).meta({ description: 'who may sign certificates of clients' }),
  revocations: z
    .array(z.object({ issuer: z.string(), nextUpdate: time.nullable() }))
    .meta({ description: 'lists of revoked certificates of clients, and until when they are good' }),
  enrolment: z
    .object({ server: z.string(), nextAttemptAt: time.nullable(), lastError: z.string().nullable() })
    .nullable()
    .meta({ description: 'who renews the certificate, and when' }),
  lastError: z.string().nullable().meta({ description: 'why the files as they are now are not in use' }),
})

const acme = z.object({
  enabled: z.boolean(),
  registered: z.boolean(),
  email: z.string(),
  directoryUrl: z.string(),
  accountUrl: z.string().nullable(),
  domains: z.array(z.string()),
  challengeType: z.literal('http-01'),
  autoRenew: z.boolean(),
  renewBeforeDays: z.int(),
  issuing: z.boolean(),
  nextAttemptAt: time.nullable().meta({ description: 'when the agent asks for a certificate by itself' }),
  lastError: z.string().nullable(),
})

const upload = z.object({
  certificate: pem.meta({ description: "PEM: the host's own first, each followed by its issuer" }),
  privateKey: optionalText.meta({ description: 'PEM; without it the certificate has to fit the last request' }),
  caCertificate: optionalText.meta({ description: 'PEM: authorities of clients, in place of those before' }),
})

const enrolment = z.object({
  url: z
    .url()
    .max(2000)
    .meta({ description: 'https; of an EST server (RFC 7030), or a control plane that is one too' }),
  token: z.string().min(1).max(4096),
  caCertificate: optionalText.meta({ description: 'PEM: the authority to believe' }),
  caFingerprint: optionalText.meta({ description: 'SHA-256 of its certificate, in its place' }),
})

const wish = z
  .object({
    commonName: z.string().max(64).nullish(),
    names: names.nullish().meta({ description: 'in place of host name, local names and management address' }),
    validityDays: z.int().min(1).max(3650).nullish(),
  })
  .nullish()

/** The certificate of the host. Private keys come in and never go out. */
export function certificateRoutes(certificates: CertificateService): Route[] {
  const base = '/api/v1/settings/certificates'
  return [
    route({
      method: 'GET',
      url: base,
      summary: 'The certificate in use and the authorities of clients',
      responses: { 200: status },
      handle: () => answer(certificates.status()),
    }),
    route({
      method: 'DELETE',
      url: base,
      summary: 'Makes a self-signed certificate in place of the one there is',
      responses: { 204: null },
      async handle() {
        await certificates.generate({})
        return noContent
      },
    }),
    route({
      method: 'POST',
      url: `${base}/upload`,
      summary: 'Uses a certificate from now on, after it was checked',
      body: upload,
      responses: { 200: status },
      async handle({ body }) {
        const given = {
          chain: body.certificate,
          key: body.privateKey || undefined,
          authorities: body.caCertificate || undefined,
        }
        return answer(await certificates.install(given))
      },
    }),
    route({
      method: 'POST',
      url: `${base}/authorities`,
      summary: 'Replaces the authorities that may sign certificates of clients',
      body: z.object({ caCertificate: pem }),
      responses: { 200: status },
      handle: async ({ body }) => answer(await certificates.trust(body.caCertificate)),
    }),
    route({
      method: 'POST',
      url: `${base}/generate`,
      summary: 'Makes a self-signed certificate',
      body: wish,
      responses: { 200: status },
      handle: async ({ body }) => answer(await certificates.generate(toWish(body))),
    }),
    route({
      method: 'POST',
      url: `${base}/request`,
      summary:
        'A signing request (PKCS #10) for a new key, which stays on the host; the certificate comes back by upload',
      body: wish,
      responses: { 200: z.object({ request: z.string() }) },
      handle: async ({ body }) => ok({ request: await certificates.request(toWish(body)) }),
    }),
    route({
      method: 'POST',
      url: `${base}/enrol`,
      summary:
        "Has the cluster's authority sign a certificate for a new key, and uses it and the authority from now on",
      body: enrolment,
      responses: { 200: status },
      async handle({ body, signal }) {
        const wanted = {
          url: body.url,
          token: body.token,
          ...(body.caCertificate === '' ? {} : { authorities: body.caCertificate }),
          ...(body.caFingerprint === '' ? {} : { fingerprint: body.caFingerprint }),
        }
        return answer(await certificates.enrol(wanted, signal))
      },
    }),
    route({
      method: 'GET',
      url: `${base}/acme`,
      summary: 'The account at the ACME server, and when the next certificate is due',
      responses: { 200: acme },
      handle: () => acmeAnswer(certificates.acme()),
    }),
    route({
      method: 'POST',
      url: `${base}/acme/register`,
      summary: 'Makes the account at the ACME server, agreeing to its terms',
      body: z.object({ email: z.email().max(254) }),
      responses: { 200: acme },
      handle: async ({ body, signal }) => acmeAnswer(await certificates.registerAcme(body.email, signal)),
    }),
    route({
      method: 'POST',
      url: `${base}/acme/issue`,
      summary:
        'Gets a certificate from the ACME server and uses it; answers when it is there, up to three minutes later',
      body: z.object({ domains: names.nullish() }),
      responses: { 200: status },
      handle: async ({ body, signal }) => answer(await certificates.issueAcme(body.domains ?? [], signal)),
    }),
  ]
}

function toWish(body: z.output<typeof wish>) {
  return {
    ...(body?.commonName ? { commonName: body.commonName } : {}),
    ...(body?.names && body.names.length > 0 ? { names: body.names } : {}),
    ...(body?.validityDays ? { validityDays: body.validityDays } : {}),
  }
}

function answer(now: CertificateStatus): RouteAnswer {
  return ok({
    enabled: now.httpsAddress !== undefined,
    listenAddress: now.httpsAddress ?? null,
    mode: now.mode,
    securityMode: now.securityMode,
    origin: now.origin ?? null,
    certificate: now.certificate === undefined ? null : toFacts(now.certificate),
    authorities: now.authorities.map(toFacts),
    revocations: now.revocations.map(({ issuer, nextUpdate }) => ({
      issuer,
      nextUpdate: nextUpdate === undefined ? null : toTime(nextUpdate),
    })),
    enrolment: toEnrolment(now.enrolment),
    lastError: now.lastError || null,
  } satisfies z.input<typeof status>)
}

function toEnrolment({ server, nextAttemptAt, lastError }: CertificateStatus['enrolment']) {
  if (server === undefined) return null
  const next = nextAttemptAt === undefined ? null : toTime(nextAttemptAt)
  return { server, nextAttemptAt: next, lastError: lastError || null }
}

function acmeAnswer(now: AcmeStatus): RouteAnswer {
  return ok({
    enabled: now.enabled,
    registered: now.accountUrl !== undefined,
    email: now.email,
    directoryUrl: now.directoryUrl,
    accountUrl: now.accountUrl ?? null,
    domains: [...now.domains],
    challengeType: 'http-01',
    autoRenew: now.autoRenew,
    renewBeforeDays: now.renewBeforeDays,
    issuing: now.issuing,
    nextAttemptAt: now.nextAttemptAt === undefined ? null : toTime(now.nextAttemptAt),
    lastError: now.lastError || null,
  } satisfies z.input<typeof acme>)
}

function toFacts(known: CertificateFacts): z.input<typeof facts> {
  return {
    ...known,
    names: [...known.names],
    notBefore: toTime(known.notBefore),
    notAfter: toTime(known.notAfter),
    daysRemaining: Math.floor((known.notAfter - Date.now()) / DAY_MS),
  }
}
