import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { z } from 'zod'
import { AgentError } from '../../../src/core/errors.ts'
import type { Reason } from '../../../src/core/reasons.ts'
import type { GuestService } from '../../../src/services/contracts.ts'
import * as schemas from '../../control-plane/schemas.ts'
import { VM_ID, guestFacts } from '../grpc/fake-services.ts'
import { startHttpRig, type HttpRig } from './client.ts'

let rig: HttpRig
beforeEach(async () => {
  rig = await startHttpRig()
})
afterEach(() => rig[Symbol.asyncDispose]())

const url = (rest: string) => `/api/v1/vms/${VM_ID}/${rest}`

// [method, path, body, what a control plane accepts]
const CALLS: [string, string, object | undefined, z.ZodType][] = [
  ['GET', 'agent/ping', undefined, schemas.agentPing],
  ['POST', 'agent/refresh', {}, schemas.agentPing],
  ['GET', 'agent/logs?lines=5', undefined, schemas.agentLogs],
  ['POST', 'agent/shutdown', {}, schemas.agentAction],
  ['POST', 'agent/reboot', {}, schemas.agentAction],
  ['POST', 'agent/install', { force: false }, schemas.agentInstall],
  ['POST', 'agent/update', { targetVersion: '2' }, schemas.agentUpdate],
  ['GET', 'agent/files/list?path=%2Fetc', undefined, schemas.listFiles],
  ['GET', 'agent/files/read?path=%2Fetc%2Fhostname', undefined, schemas.readFile],
  ['POST', 'execute', { command: 'uptime' }, schemas.execute],
]

/** A guest service of which every call fails. */
function failing(error: AgentError): Partial<GuestService> {
  const fail = () => Promise.reject(error)
  return {
    facts: fail,
    power: fail,
    shell: fail,
    agentLog: fail,
    listFiles: fail,
    readFile: fail,
    log: fail,
    mountAgentIso: fail,
  }
}

describe('every call into a guest', () => {
  test.each(CALLS)('%s %s answers as a control plane reads it', async (method, path, body, schema) => {
    const answer = await rig.fetch(method, url(path), body)
    expect(answer.status).toBe(200)
    schema.parse(answer.json)
  })

  test.each(CALLS)('%s %s: trouble of the guest is 200 and said in the body', async (method, path, body, schema) => {
    const error = new AgentError('GUEST_AGENT_UNAVAILABLE', 'VM x: the agent already exists and was not found')
    await using own = await startHttpRig({ guests: failing(error) })
    const answer = await own.fetch(method, url(path), body)
    expect(answer.status).toBe(200)
    const told = schema.parse(answer.json) as { success?: boolean; connected?: boolean; error?: string }
    expect(told.success ?? told.connected).toBe(false)
    expect(told.error).toContain('VM x')
    expect(answer.text).not.toMatch(/already|exists|not found/)
  })

  test.each(CALLS)('%s %s: an unknown VM is 404, libvirt away is 500', async (method, path, body) => {
    for (const [reason, status, word] of [
      ['VM_NOT_FOUND', 404, 'vm_not_found'],
      ['LIBVIRT_UNAVAILABLE', 500, 'list_vms_failed'],
    ] as const) {
      await using own = await startHttpRig({ guests: failing(new AgentError(reason, `VM not found: ${VM_ID}`)) })
      const answer = await own.fetch(method, url(path), body)
      expect(answer).toMatchObject({ status, json: { error: word } })
    }
  })

  test.each(CALLS)('%s %s: an id that is none is refused', async (method, path, body) => {
    expect((await rig.fetch(method, `/api/v1/vms/nonsense/${path}`, body)).status).toBe(400)
  })

  test.each(CALLS.filter(([method, path]) => method === 'POST' && path !== 'execute'))(
    '%s %s may come without a body',
    async (method, path) => expect((await rig.fetch(method, url(path))).status).toBe(200),
  )
})

describe('logs', () => {
  test("the end of QEMU's log", async () => {
    const answer = await rig.fetch('GET', url('logs?lines=2'))
    expect(schemas.vmLogs.parse(answer.json)).toEqual({
      vmId: VM_ID,
      vmName: 'web',
      qemuLog: 'a\nb\n',
      logPath: '/var/log/libvirt/qemu/web.log',
      logSizeBytes: 10,
      linesReturned: 2,
      truncated: false,
      lastModified: '2023-11-14T22:13:20.123Z',
    })
  })

  test.each([
    ['', 100],
    ['?lines=7', 7],
    ['?lines=5000', 1000],
  ])('logs%s asks for %i lines', async (query, lines) => {
    await rig.fetch('GET', url(`logs${query}`))
    await rig.fetch('GET', url(`agent/logs${query}`))
    expect(rig.services.calls.map(({ args }) => args[1])).toEqual([lines, lines])
  })

  test('a number of lines that is none is refused', async () => {
    for (const lines of ['-1', 'x', '1.5']) {
      expect((await rig.fetch('GET', url(`logs?lines=${lines}`))).status, lines).toBe(400)
    }
  })
})

describe('what the guest tells', () => {
  test('of itself', async () => {
    const { usage, ...facts } = guestFacts
    expect((await rig.fetch('GET', url('agent/ping'))).json).toEqual({
      connected: true,
      ...facts,
      resourceUsage: { ...usage, disks: [{ ...usage?.disks[0], usagePercent: 25 }] },
    })
  })

  test('of a directory; hidden entries only when asked for', async () => {
    const names = async (query: string) => {
      const { entries } = schemas.listFiles.parse((await rig.fetch('GET', url(`agent/files/list${query}`))).json)
      return entries.map(({ name }) => name)
    }
    expect(await names('?path=%2Fetc')).toEqual(['hostname'])
    expect(await names('?path=%2Fetc&include_hidden=false')).toEqual(['hostname'])
    expect(await names('?path=%2Fetc&include_hidden=true')).toEqual(['.hidden', 'hostname'])
    expect(await names('')).toEqual(['hostname'])
    expect(rig.services.calls.at(-1)?.args[1]).toBe('/')
  })

  test('of a file, as base64', async () => {
    const answer = await rig.fetch('GET', url('agent/files/read?path=%2Fx'))
    expect(answer.json).toEqual({ success: true, path: '/x', content: 'aGVsbG8=', sizeBytes: 5 })
  })

  test('paths are absolute and go nowhere else', async () => {
    for (const path of ['x', '/a/../b', '']) {
      const query = `?path=${encodeURIComponent(path)}`
      expect((await rig.fetch('GET', url(`agent/files/read${query}`))).status, path).toBe(400)
    }
  })
})

describe('execute', () => {
  test.each([
    [{}, 25_000],
    [{ timeoutSeconds: 0 }, 25_000],
    [{ timeoutSeconds: 3 }, 3_000],
    [{ timeoutSeconds: 300 }, 25_000],
    [{ timeoutSeconds: 3, waitForExit: false }, undefined],
    [{ timeoutSeconds: null, waitForExit: null }, 25_000],
  ])('%o waits %s ms', async (part, timeoutMs) => {
    expect((await rig.fetch('POST', url('execute'), { command: 'uptime', ...part })).status).toBe(200)
    expect(rig.services.calls.at(-1)?.args).toEqual([VM_ID, 'uptime', timeoutMs])
  })

  test('a program that fails, one that goes on, and one that prints too much', async () => {
    const base = { stdout: '', stderr: '', durationMs: expect.any(Number) as number }
    expect((await rig.fetch('POST', url('execute'), { command: 'false' })).json).toEqual({
      ...base,
      success: false,
      exitCode: 1,
      stdout: 'out',
      timedOut: false,
    })
    const cases = [
      [{ exitCode: -1, timedOut: true, truncated: false }, false, /goes on/],
      [{ exitCode: 0, timedOut: false, truncated: true }, true, /cut/],
    ] as const
    for (const [{ truncated, ...result }, success, error] of cases) {
      const shell = async () => ({ ...result, truncated, stdout: '', stderr: '' })
      await using own = await startHttpRig({ guests: { shell } })
      const { json } = await own.fetch('POST', url('execute'), { command: 'x' })
      expect(json).toEqual({ ...base, ...result, success, error: expect.stringMatching(error) })
    }
  })

  test('a command is text of some size', async () => {
    for (const command of ['', 'a\0b', 'x'.repeat(65_537)]) {
      expect((await rig.fetch('POST', url('execute'), { command })).status).toBe(400)
    }
  })
})

describe('what this node does not do is said', () => {
  test('installing: success only when the guest has an agent', async () => {
    expect((await rig.fetch('POST', url('agent/install'), { force: false })).json).toMatchObject({ success: true })
    const error = new AgentError('GUEST_AGENT_UNAVAILABLE', 'VM x: no guest agent runs')
    await using own = await startHttpRig({ guests: failing(error) })
    expect((await own.fetch('POST', url('agent/install'), { force: false })).json).toMatchObject({
      success: false,
      error: expect.stringContaining('qemu-guest-agent'),
    })
  })

  test('the ISO of agents', async () => {
    const answer = await rig.fetch('POST', url('cdrom/mount-agent-iso'))
    expect(schemas.mountAgentIso.parse(answer.json)).toMatchObject({
      success: true,
      isoPath: '/srv/pool/iso/virtio-win.iso',
      device: 'sdb',
    })
    const unknown = VM_ID.replace('1', '9')
    const missing = await rig.fetch('POST', `/api/v1/vms/${unknown}/cdrom/mount-agent-iso`)
    expect(missing).toMatchObject({ status: 404, json: { error: 'vm_not_found' } })
  })

  test.each<Reason>(['AGENT_ISO_MISSING', 'CDROM_NOT_FOUND', 'CDROM_LOCKED', 'POOL_UNAVAILABLE'])(
    'the ISO of agents: %s is said in the body',
    async (reason) => {
      await using own = await startHttpRig({ guests: failing(new AgentError(reason, 'VM x: it was not found')) })
      const answer = await own.fetch('POST', url('cdrom/mount-agent-iso'))
      expect(answer.status).toBe(200)
      expect(schemas.mountAgentIso.parse(answer.json)).toMatchObject({ success: false, error: 'VM x: it was missing' })
    },
  )

  test('updates', async () => {
    const check = schemas.updatesCheck.parse((await rig.fetch('GET', '/api/v1/updates/check')).json)
    expect(check).toMatchObject({ available: false, currentVersion: '0.1.0', fullImageAvailable: false })
    schemas.updatesVersion.parse((await rig.fetch('GET', '/api/v1/updates/version')).json)
    const status = schemas.updatesStatus.parse((await rig.fetch('GET', '/api/v1/updates/status')).json)
    expect(status.status).toBe('idle')
    expect(await rig.fetch('POST', '/api/v1/updates/apply')).toMatchObject({
      status: 501,
      json: { error: 'unimplemented', message: expect.stringContaining('package') },
    })
  })
})
