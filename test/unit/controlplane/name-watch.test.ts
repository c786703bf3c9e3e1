import { afterEach, beforeEach, expect, test } from 'vitest'
import { NameWatch } from '../../../src/controlplane/name-watch.ts'
import { registerNodeRequest } from '../../../src/controlplane/registration.ts'
import { createConnectClient, type ConnectClient } from '../../../src/platform/connect-client.ts'
import { recordingLogger } from '../../conformance/recording-logger.ts'
import { registerNode } from '../../control-plane/schemas.ts'
import { startStandInControlPlane, type StandInControlPlane } from '../../control-plane/stand-in.ts'
import { FACTS } from './link-fixture.ts'

let cp: StandInControlPlane
let client: ConnectClient
let watch: NameWatch
let log: ReturnType<typeof recordingLogger>

const register = (managementIp: string) =>
  cp.fleet.register({ ...registerNode.parse(registerNodeRequest(FACTS, {})), managementIp }).node.id
const own = { hostname: FACTS.hostname, managementIp: '192.0.2.1' }
const said = () => log.lines.filter((line) => line.includes('another host is registered'))
const asked = () => cp.requests.filter(({ method }) => method === 'GetNode').length

beforeEach(async () => {
  cp = await startStandInControlPlane()
  client = createConnectClient({ baseUrl: cp.url })
  log = recordingLogger()
  watch = new NameWatch({ client, told: () => own, log })
})
afterEach(async () => {
  await watch.stop()
  await client.close()
  await cp.close()
})

async function beats(nodeId: string, count: number): Promise<void> {
  for (let beat = 0; beat < count; beat++) {
    watch.answered(nodeId)
    await watch.settled()
  }
}

test('a record with the own address is nothing to speak of', async () => {
  await beats(register('192.0.2.1'), 30)
  expect([asked(), said()]).toEqual([3, []])
})

test('another address in it is said once, with both', async () => {
  register('192.0.2.1')
  const nodeId = register('192.0.2.2')
  await beats(nodeId, 30)
  expect(said()).toHaveLength(1)
  expect(said()[0]).toMatch(/192\.0\.2\.1.*192\.0\.2\.2/)
})

test('a control plane that does not know the call is asked once for each registration', async () => {
  cp.setFault({ kind: 'answer', status: 501, body: '{"code":"unimplemented"}' }, 'GetNode')
  const nodeId = register('192.0.2.1')
  await beats(nodeId, 50)
  expect(asked()).toBe(1)
  watch.registered()
  await beats(nodeId, 50)
  expect(asked()).toBe(2)
  expect(said()).toEqual([])
})

test('one that is away is asked again', async () => {
  const nodeId = register('192.0.2.2')
  await cp.pause()
  await beats(nodeId, 10)
  await cp.resume()
  await beats(nodeId, 10)
  expect(said()).toHaveLength(1)
})
