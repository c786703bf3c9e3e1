import { once } from 'node:events'
import { connect as dial } from 'node:net'
import { text } from 'node:stream/consumers'
import { connect, type PeerCertificate } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { requirePrerequisite } from '../host/require.ts'
import { TestAuthority } from '../support/test-authority.ts'
import { agentConfig, agentConfigGone } from './agent-config.ts'
import type { Reached } from './rig.ts'
import { agentService } from './service.ts'
import { missingRig, useRig } from './use-rig.ts'

const ADDRESS = '10.99.0.2'
const CERTIFICATES = '/etc/limiquantix/certs'
const PROGRAM = '/opt/limiquantix-node/bin/limiquantix-node'
const REQUEST = `GET /healthz HTTP/1.1\r\nHost: ${ADDRESS}\r\nConnection: close\r\n\r\n`

describe.skipIf(await requirePrerequisite('rig', missingRig))('HTTPS of the packaged agent', () => {
  const rig = useRig()
  const service = agentService(rig)
  let https: Reached

  beforeAll(async () => {
    await agentConfig(rig, { https: true })
    https = await rig.reach(8443)
  })
  afterAll(async () => {
    await https[Symbol.asyncDispose]()
    await rig.exec(`rm -rf ${CERTIFICATES}`)
    await agentConfigGone(rig)
  })

  /** Asks over TLS by the rig's network, as a control plane would that believes `ca`. */
  async function ask(ca: string): Promise<{ answer: string; peer: PeerCertificate }> {
    const socket = connect({ path: https.socketPath, ca, host: ADDRESS })
    await once(socket, 'secureConnect')
    const peer = socket.getPeerCertificate()
    socket.write(REQUEST)
    return { answer: await text(socket), peer }
  }
  const certificate = () => rig.exec(`cat ${CERTIFICATES}/server.crt`)

  test('is served with a certificate that it made for its own address, whose key is for root alone', async () => {
    const { answer, peer } = await ask(await certificate())
    expect(answer).toMatch(/^HTTP\/1\.1 200 /)
    expect(peer.subjectaltname).toContain(`IP Address:${ADDRESS}`)
    expect((await rig.exec(`stat -c '%a %U' ${CERTIFICATES}/server.key ${CERTIFICATES}/server.crt`)).trim()).toBe(
      '600 root\n644 root',
    )
    expect((await service.properties('StatusText')).StatusText).toContain(`${ADDRESS}:8443`)
    expect(await rig.exec(`${PROGRAM} certificate show`)).toMatch(/HTTPS: +on\n.*\(self-signed\)/s)
  })

  test('takes a certificate that was signed elsewhere, at once and after a restart', async () => {
    await using cluster = await TestAuthority.create('cluster')
    const request = await rig.exec(`${PROGRAM} certificate request`)
    await rig.write('/root/signed.crt', await cluster.sign(request, { altNames: `IP:${ADDRESS}` }))
    expect(await rig.exec(`${PROGRAM} certificate install --cert /root/signed.crt`)).toContain('(issued)')
    expect((await ask(cluster.cert)).peer.issuer).toMatchObject({ CN: 'cluster' })
    await service.control('restart')
    const { answer, peer } = await ask(cluster.cert)
    expect([answer.slice(0, 12), peer.issuer]).toMatchObject(['HTTP/1.1 200', { CN: 'cluster' }])
  })

  test('goes back to one of its own', async () => {
    expect(await rig.exec(`${PROGRAM} certificate generate`)).toContain('(self-signed)')
    const { answer, peer } = await ask(await certificate())
    expect([answer.slice(0, 12), peer.subjectaltname]).toMatchObject([
      'HTTP/1.1 200',
      expect.stringContaining(`IP Address:${ADDRESS}`),
    ])
  })

  test('is where port 80 sends its callers, which the unit may listen on', async () => {
    await using plain = await rig.reach(80)
    const socket = dial(plain.socketPath)
    socket.write(REQUEST)
    expect(await text(socket)).toMatch(/^HTTP\/1\.1 30[178] [^]*location: https:\/\/10\.99\.0\.2:8443\/healthz/i)
  })

  test('hangs up on callers that are not allowed before they see a certificate', async () => {
    await rig.exec('ip address add 10.99.1.9/32 dev lo')
    try {
      const ask = `node -e 'const s = require("node:tls").connect({ host: "${ADDRESS}", port: 8443, localAddress: "10.99.1.9", rejectUnauthorized: false }, () => console.log("secure")).on("error", (e) => console.log(e.code))'`
      expect((await rig.tryExec(ask)).stdout.trim()).toMatch(/^(ECONNRESET|EPIPE)$/)
    } finally {
      await rig.exec('ip address del 10.99.1.9/32 dev lo')
    }
  })
})
