import { expect, it } from 'vitest'
import { startHttpRig } from './client.ts'

const BASE = '/api/v1/settings/certificates'

it('tells of the certificate', async () => {
  await using rig = await startHttpRig()
  const { status, json } = await rig.fetch('GET', BASE)
  expect(status).toBe(200)
  expect(json).toMatchObject({
    enabled: true,
    listenAddress: '0.0.0.0:8443',
    origin: 'self-signed',
    certificate: { subject: 'CN=hv-1', notBefore: '2023-11-14T22:13:20.123Z' },
    authorities: [],
    lastError: null,
  })
})

it('takes uploads as existing clients send them, and wishes', async () => {
  await using rig = await startHttpRig()
  const body = { certificate: 'c', privateKey: 'k', caCertificate: null }
  expect((await rig.fetch('POST', `${BASE}/upload`, body)).status).toBe(200)
  expect(rig.services.calls.at(-1)).toMatchObject({ args: [{ chain: 'c', key: 'k', authorities: undefined }] })
  expect((await rig.fetch('POST', `${BASE}/generate`)).status).toBe(200)
  expect((await rig.fetch('POST', `${BASE}/generate`, { commonName: 'x', validityDays: 5 })).status).toBe(200)
  expect(rig.services.calls.at(-1)).toMatchObject({ args: [{ commonName: 'x', validityDays: 5 }] })
  expect((await rig.fetch('POST', `${BASE}/request`, {})).json).toEqual({ request: 'a request' })
  expect((await rig.fetch('POST', `${BASE}/authorities`, { caCertificate: 'p' })).status).toBe(200)
  const wish = { url: 'https://ca.example.org', token: 't', caFingerprint: 'f' }
  expect((await rig.fetch('POST', `${BASE}/enrol`, wish)).status).toBe(200)
  const [given] = rig.services.calls.at(-1)?.args ?? []
  expect(given).toEqual({ url: 'https://ca.example.org', token: 't', fingerprint: 'f' })
  expect((await rig.fetch('DELETE', BASE)).status).toBe(204)
})

it.each([
  ['upload', {}],
  ['upload', { certificate: 5 }],
  ['upload', { certificate: '' }],
  ['generate', { validityDays: 0 }],
  ['authorities', {}],
  ['enrol', { url: 'https://ca.example.org' }],
])('refuses %s of %j without quoting it', async (what, body) => {
  await using rig = await startHttpRig()
  expect((await rig.fetch('POST', `${BASE}/${what}`, body)).status).toBe(400)
})
