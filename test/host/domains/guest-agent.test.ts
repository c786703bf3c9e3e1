import { randomUUID } from 'node:crypto'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { createGuestService } from '../../../src/services/guest-service.ts'
import * as schemas from '../../control-plane/schemas.ts'
import { until } from '../../support/until.ts'
import { startHttpRig, type HttpRig } from '../../unit/http/client.ts'
import { missingCommand, missingLibvirt, requirePrerequisite } from '../require.ts'
import { libvirtDir } from '../libvirt/live.ts'
import { endAgent, makeBase, openAgent, removeBase, within, type AgentParts } from './agent-fixture.ts'
import { makeTinyGuest, missingKernel, tinyGuestDomain, type AgentKind } from './tiny-guest.ts'

const reason =
  (await requirePrerequisite('libvirt', missingLibvirt)) ??
  (await requirePrerequisite('guest', missingCommand('qemu-ga', 'busybox', 'cpio'))) ??
  (await requirePrerequisite('guest', missingKernel))

describe.skipIf(reason !== undefined)('the inside of guests', () => {
  const ids: Record<AgentKind, string> = { real: randomUUID(), silent: randomUUID(), lying: randomUUID() }
  let base: string
  let agent: AgentParts
  let rig: HttpRig

  beforeAll(async () => {
    base = await makeBase()
    agent = await openAgent(base, libvirtDir)
    const files = await makeTinyGuest(base)
    for (const kind of ['real', 'silent', 'lying'] as const) {
      const { dom } = await agent.client.call('remote:DOMAIN_DEFINE_XML_FLAGS', {
        xml: tinyGuestDomain(ids[kind], kind, files),
        flags: 0,
      })
      await agent.client.call('remote:DOMAIN_CREATE_WITH_FLAGS', { dom, flags: 0 }, { timeoutMs: 60_000 })
    }
    const logDirectory = path.join(libvirtDir, 'log/qemu')
    const guests = createGuestService({
      inventory: agent.inventory,
      libvirt: agent.client,
      logDirectory,
      log: silentLogger,
    })
    rig = await startHttpRig({
      guests,
      vms: {
        guestPing: (vmId, signal) => agent.vms.guestPing(vmId, signal),
        guestExec: (vmId, command, signal) => agent.vms.guestExec(vmId, command, signal),
      },
    })
    for (const id of Object.values(ids)) {
      // Until a program in the guest has opened the channel.
      await until(async () => {
        const { error = '' } = await agent.vms.guestPing(id, within())
        return !error.includes('no guest agent runs')
      }, 120_000)
    }
  }, 240_000)

  afterAll(async () => {
    await rig?.[Symbol.asyncDispose]()
    if (agent !== undefined) {
      for (const id of Object.values(ids)) await agent.vms.delete(id, within()).catch(() => undefined)
      await endAgent(agent)
    }
    if (base !== undefined) await removeBase(base)
  }, 120_000)

  const ask = async (kind: AgentKind, method: string, rest: string, body?: object) => {
    const answer = await rig.fetch(method, `/api/v1/vms/${ids[kind]}/${rest}`, body)
    expect(answer.status, answer.text).toBe(200)
    return answer.json
  }
  const execute = async (command: string, more: object = {}) =>
    schemas.execute.parse(await ask('real', 'POST', 'execute', { command, ...more }))

  test('a guest with an agent tells what it is', async () => {
    const facts = schemas.agentPing.parse(await ask('real', 'GET', 'agent/ping'))
    expect(facts).toMatchObject({
      connected: true,
      hostname: 'tiny-guest',
      osName: 'Tiny Linux',
      architecture: 'x86_64',
      ipAddresses: [],
      capabilities: expect.arrayContaining(['guest-exec']),
      resourceUsage: { processCount: expect.any(Number) },
    })
    if (!facts.connected) return
    expect(facts.resourceUsage?.memoryTotalBytes).toBeGreaterThan(32 * 1024 ** 2)
    expect(facts.resourceUsage?.memoryTotalBytes).toBeLessThan(128 * 1024 ** 2)
    expect(schemas.qemuAgentPing.parse(await ask('real', 'GET', 'qemu-agent/ping'))).toEqual({ available: true })
    expect(schemas.agentInstall.parse(await ask('real', 'POST', 'agent/install', {}))).toMatchObject({ success: true })
  })

  test('commands run in its shell; output, errors and exit codes come back', async () => {
    expect(await execute('echo out; echo err >&2; exit 7')).toMatchObject({
      success: false,
      exitCode: 7,
      stdout: 'out\n',
      stderr: 'err\n',
      timedOut: false,
    })
    expect(await execute('sleep 100', { timeoutSeconds: 1 })).toMatchObject({ success: false, timedOut: true })
    expect(await execute('touch /tmp/made', { waitForExit: false })).toMatchObject({ success: true, exitCode: -1 })
    await until(async () => (await execute('test -e /tmp/made')).success)
  })

  test('a flood of output is cut in the guest, and the agent answers afterwards', async () => {
    // As text more than libvirt takes of one answer (10 MiB), and no more than an emulated guest moves in a part of the 25 s that it has.
    const flood = await execute('head -c 10000000 /dev/zero | tr "\\0" x')
    expect(flood).toMatchObject({ success: true, exitCode: 0, error: expect.stringContaining('cut') })
    expect(flood.stdout.length).toBe(1024 * 1024)
    expect(await execute('echo on')).toMatchObject({ stdout: 'on\n' })
    const exec = async (...args: string[]) =>
      (
        await rig.fetch('POST', `/api/v1/vms/${ids.real}/qemu-agent/exec`, {
          command: '/bin/busybox',
          args,
        })
      ).json as { stdout: string }
    const zeros = await exec('head', '-c', '10000000', '/dev/zero')
    expect(zeros).toMatchObject({ success: true, exitCode: 0, error: expect.stringContaining('cut') })
    expect(zeros.stdout.length).toBe(1024 * 1024)
    expect(await exec('echo', '$(on)')).toEqual({ success: true, exitCode: 0, stdout: '$(on)\n', stderr: '' })
  })

  test('files are listed and read; what is no file is refused before it can hang the agent', async () => {
    await execute('mkdir -p "/d/sub dir"; printf hello >/d/file; ln -s file /d/link; touch /d/.hidden; mkfifo /d/fifo')
    const list = async (query: string) => schemas.listFiles.parse(await ask('real', 'GET', `agent/files/list?${query}`))
    const { entries } = await list('path=%2Fd')
    expect(entries.map(({ name }) => name)).toEqual(['fifo', 'file', 'link', 'sub dir'])
    expect(entries).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ name: 'file', path: '/d/file', sizeBytes: 5, isDirectory: false, owner: 'root' }),
        expect.objectContaining({ name: 'link', isSymlink: true }),
        expect.objectContaining({ name: 'sub dir', isDirectory: true }),
      ]),
    )
    expect((await list('path=%2Fd&include_hidden=true')).entries).toHaveLength(5)
    expect(await list('path=%2Fmissing')).toMatchObject({ success: false, entries: [] })
    expect(await list('path=%2Fd%2Ffile')).toMatchObject({ success: false, entries: [] })
    const read = async (file: string) =>
      schemas.readFile.parse(await ask('real', 'GET', `agent/files/read?path=${encodeURIComponent(file)}`))
    expect(await read('/d/link')).toEqual({ success: true, path: '/d/link', content: 'aGVsbG8=', sizeBytes: 5 })
    for (const file of ['/d/fifo', '/d', '/d/missing', '/dev/zero']) {
      expect(await read(file), file).toMatchObject({ success: false })
    }
    await execute('head -c 1000000 /dev/urandom >/d/big; head -c 5000000 /dev/zero >/d/huge')
    expect(await read('/d/big')).toMatchObject({ success: true, sizeBytes: 1_000_000 })
    expect(await read('/d/huge')).toMatchObject({ success: false, error: expect.stringContaining('5000000 bytes') })
  })

  test("the agent's log, and QEMU's", async () => {
    const lines = schemas.agentLogs.parse(await ask('real', 'GET', 'agent/logs?lines=5'))
    expect(lines).toMatchObject({ success: true, lines: ['a line of the agent'] })
    const log = schemas.vmLogs.parse(await ask('real', 'GET', 'logs?lines=1000'))
    expect(log).toMatchObject({ vmName: 'tiny-real', lastModified: expect.any(String) })
    expect(log.qemuLog).toContain('tiny-real')
  })

  test('a silent agent is told as such in time, and holds up nobody else', async () => {
    const slow = ['agent/ping', 'qemu-agent/ping', 'agent/logs'].map((rest) => ask('silent', 'GET', rest))
    const executed = ask('silent', 'POST', 'execute', { command: 'true' })
    expect(await execute('echo quick')).toMatchObject({ stdout: 'quick\n' })
    expect(schemas.agentPing.parse(await slow[0])).toMatchObject({ connected: false })
    expect(schemas.qemuAgentPing.parse(await slow[1])).toMatchObject({ available: false })
    expect(schemas.agentLogs.parse(await slow[2])).toMatchObject({ success: false, lines: [] })
    expect(schemas.execute.parse(await executed)).toMatchObject({ success: false, exitCode: -1 })
    const install = schemas.agentInstall.parse(await ask('silent', 'POST', 'agent/install', { force: false }))
    expect(install).toMatchObject({ success: false, error: expect.stringContaining('qemu-guest-agent') })
  }, 120_000)

  test('a lying agent is not believed', async () => {
    expect(schemas.agentPing.parse(await ask('lying', 'GET', 'agent/ping'))).toMatchObject({
      connected: false,
      error: expect.stringContaining('has not the form'),
    })
    const command = schemas.execute.parse(await ask('lying', 'POST', 'execute', { command: 'true' }))
    expect(command).toMatchObject({ success: false })
  }, 120_000)

  test('shutting down through the agent ends the guest; one that is off is said to be', async () => {
    const down = schemas.agentAction.parse(await ask('real', 'POST', 'agent/shutdown', {}))
    expect(down).toMatchObject({ success: true })
    await until(async () => (await agent.vms.status(ids.real, within())).state === 'STOPPED')
    const ping = schemas.agentPing.parse(await ask('real', 'GET', 'agent/ping'))
    expect(ping).toMatchObject({ connected: false, error: expect.stringContaining('not running') })
    expect(schemas.agentAction.parse(await ask('real', 'POST', 'agent/reboot'))).toMatchObject({ success: false })
  }, 120_000)

  test('an unknown VM is 404', async () => {
    const answer = await rig.fetch('GET', `/api/v1/vms/${randomUUID()}/agent/ping`)
    expect(answer).toMatchObject({ status: 404, json: { error: 'vm_not_found' } })
  })
})
