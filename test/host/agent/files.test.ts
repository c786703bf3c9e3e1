import { randomBytes } from 'node:crypto'
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { NodeClient } from '../../control-plane/node-client.ts'
import { startAgent, type AgentProcess } from '../../support/agent-process.ts'

let directory: string
let pool: string
let agent: AgentProcess
let files: string

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'lqx-files-'))
  await chmod(directory, 0o711)
  pool = path.join(directory, 'pool')
  const hypervisor = { libvirt_uri: 'qemu+unix:///system?socket=/nowhere/libvirt-sock' }
  agent = await startAgent({ directory, config: { hypervisor } })
  const node = new NodeClient(agent.grpcAddress)
  const config = { local: { path: pool } }
  await node.call('InitStoragePool', { poolId: 'p1', type: 'STORAGE_POOL_TYPE_LOCAL_DIR', config })
  node.close()
  files = `${agent.httpUrl}/api/v1/storage/pools/p1/files`
})
afterEach(async () => {
  await agent.stop()
  await rm(directory, { recursive: true, force: true })
})

const post = (route: string, body: object) =>
  fetch(`${files}/${route}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })

it('sends a file whole, goes on where a client was cut off, and survives the death of its helper in the middle', async () => {
  const data = randomBytes(48 * 2 ** 20)
  await writeFile(path.join(pool, 'x.iso'), data)
  const first = await fetch(`${files}/content?path=x.iso`)
  const etag = first.headers.get('etag') ?? ''
  const reader = (first.body ?? new ReadableStream<Uint8Array>()).getReader()
  const got: Uint8Array[] = []
  for (let bytes = 0; bytes < 2 ** 20; bytes += got.at(-1)?.length ?? 0) got.push((await reader.read()).value ?? data)
  await reader.cancel()
  const have = Buffer.concat(got)
  const headers = { range: `bytes=${have.length}-`, 'if-range': etag }
  const rest = await fetch(`${files}/content?path=x.iso`, { headers })
  expect(rest.status).toBe(206)
  // What is in flight is less than what is left, so that the helper is needed again.
  for (const pid of await helpers()) process.kill(pid, 'SIGKILL')
  expect(Buffer.concat([have, Buffer.from(await rest.arrayBuffer())]).equals(data)).toBe(true)
})

it('makes, renames and lists; deletes nothing while libvirt cannot tell what guests use', async () => {
  expect((await post('mkdir', { path: 'isos' })).status).toBe(201)
  await writeFile(path.join(pool, 'x.iso'), 'x')
  expect((await fetch(`${files}?path=x.iso`, { method: 'DELETE' })).status).toBe(503)
  expect((await post('rename', { from: 'x.iso', to: 'isos/x.iso' })).status).toBe(503)
  expect(await readFile(path.join(pool, 'x.iso'), 'utf8')).toBe('x')
  const listing = (await (await fetch(files)).json()) as { entries: { name: string }[] }
  expect(listing.entries.map(({ name }) => name)).toEqual(['isos', 'x.iso'])
  // An empty directory is used by nobody.
  expect((await fetch(`${files}?path=isos`, { method: 'DELETE' })).status).toBe(204)
})

async function helpers(): Promise<number[]> {
  const lists = (await readdir(`/proc/${agent.pid}/task`)).map(async (task) =>
    readFile(`/proc/${agent.pid}/task/${task}/children`, 'utf8'),
  )
  return (await Promise.all(lists)).join(' ').split(' ').filter(Boolean).map(Number)
}
