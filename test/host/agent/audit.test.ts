import { execFile } from 'node:child_process'
import { chmod, mkdir, mkdtemp, rm, statfs, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { AuditLine } from '../../../src/audit/audit-line.ts'
import { startAgent, type AgentProcess } from '../../support/agent-process.ts'
import { until } from '../../support/until.ts'
import { missingCommand, missingRoot, requirePrerequisite } from '../require.ts'

const run = promisify(execFile)
const PROGRAM = path.join(import.meta.dirname, '../../../bin/limiquantix-node')
const VM = '1c9b5e4e-0000-4000-8000-000000000001'

let directory: string
let agent: AgentProcess

const start = async (audit: object = {}) => {
  const hypervisor = { libvirt_uri: 'qemu+unix:///system?socket=/nowhere/libvirt-sock' }
  agent = await startAgent({ directory, config: { hypervisor, audit } })
}

async function command(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  try {
    const { stdout, stderr } = await run(PROGRAM, [...args, '--config', agent.configFile])
    return { code: 0, out: stdout, err: stderr }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
    return { code, out: stdout, err: stderr }
  }
}

const startVm = (id: string) => fetch(`${agent.httpUrl}/api/v1/vms/${id}/start`, { method: 'POST' })
const metric = async (name: string) => {
  const text = await (await fetch(`${agent.httpUrl}/metrics`)).text()
  return Number(new RegExp(`^limiquantix_audit_${name} (\\d+)$`, 'm').exec(text)?.[1])
}
const shown = async (...args: string[]) =>
  (await command('audit', 'show', '--json', ...args)).out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as AuditLine)

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'lqx-agent-'))
  await chmod(directory, 0o711)
})
afterEach(async () => {
  await agent.stop()
  await rm(directory, { recursive: true, force: true })
})

describe('the audit log of a running agent', { timeout: 120_000 }, () => {
  it('has calls and commands with who and what, outlives kill -9, and finds what was changed meanwhile', async () => {
    await start()
    expect((await startVm(VM)).status).toBe(503)
    expect((await command('token')).code).toBe(0)
    expect(await shown('--object', VM)).toMatchObject([
      { type: 'call', method: 'POST /api/v1/vms/:id/start', caller: { via: 'http', peer: '127.0.0.1' } },
      { type: 'result', result: 'LIBVIRT_UNAVAILABLE' },
    ])
    expect((await shown('--method', 'token')).at(-1)).toMatchObject({ caller: { via: 'unix' }, result: 'OK' })
    expect((await command('audit', 'show', '--method', 'token')).out).toMatch(
      /registration\/token .*by unix.*: OK \d+ ms/,
    )

    agent.kill('SIGKILL')
    await agent.exited
    await start()
    await startVm(VM)
    expect((await shown()).filter(({ type }) => type === 'started')).toHaveLength(2)
    expect(await command('audit', 'verify')).toMatchObject({ code: 0 })

    const file = path.join(directory, 'state/audit/audit-000000000001.jsonl')
    await run('sed', ['-i', 's/127.0.0.1/127.0.0.2/;', file])
    const verdict = await command('audit', 'verify')
    expect(verdict.code).toBe(1)
    expect(verdict.out).toMatch(/^problem: audit-000000000001.jsonl:\d+: line \d+ before it is not the one/)
  })
})

const skip = await requirePrerequisite(
  'mount',
  async () => missingRoot() ?? (await missingCommand('mount', 'umount')()),
)

describe.skipIf(skip)('an audit log on a full disk', { timeout: 120_000 }, () => {
  let disk: string
  beforeEach(async () => {
    disk = path.join(directory, 'disk')
    await mkdir(disk)
    await run('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', disk])
  })
  afterEach(async () => {
    await agent.stop()
    await run('umount', [disk])
  })

  const fill = async () => {
    const { bavail, bsize } = await statfs(disk)
    await writeFile(path.join(disk, 'ballast'), Buffer.alloc(bavail * bsize))
  }
  // What is in the last page of the file still fits.
  const untilFull = async () => {
    for (let n = 0; n < 50 && (await metric('healthy')) === 1; n++) await startVm(VM)
    expect(await metric('healthy')).toBe(0)
  }

  it('does not stop calls; their lines follow when there is room', async () => {
    await start({ directory: path.join(disk, 'audit') })
    await fill()
    await untilFull()
    const late = '1c9b5e4e-0000-4000-8000-000000000002'
    expect((await startVm(late)).status).toBe(503)
    expect(await metric('waiting_lines')).toBeGreaterThan(1)
    expect(agent.log.filter(({ msg }) => String(msg).startsWith('the audit log cannot be written'))).toHaveLength(1)
    await rm(path.join(disk, 'ballast'))
    await until(async () => (await metric('waiting_lines')) === 0)
    expect(await shown('--object', late)).toMatchObject([{ type: 'call' }, { result: 'LIBVIRT_UNAVAILABLE' }])
    expect(await command('audit', 'verify')).toMatchObject({ code: 0 })
  })

  it('stops changes, and nothing else, when the configuration demands it', async () => {
    await start({ directory: path.join(disk, 'audit'), required: true })
    await fill()
    await untilFull()
    const answer = await startVm(VM)
    expect(await answer.json()).toMatchObject({ error: 'audit_unavailable' })
    expect((await fetch(`${agent.httpUrl}/api/v1/host/health`)).status).toBe(200)
    await rm(path.join(disk, 'ballast'))
    await until(async () => (await (await startVm(VM)).text()).includes('libvirt'))
    expect(await command('audit', 'verify')).toMatchObject({ code: 0 })
  })
})
