import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { requirePrerequisite } from '../host/require.ts'
import { checkoutPath, runScript, type ScriptResult } from '../host/scripts/run-script.ts'
import { until } from '../support/until.ts'
import { missingRig } from './use-rig.ts'

const script = checkoutPath('scripts/rig')
const rig = (...args: string[]): Promise<ScriptResult> => runScript(script, args, { timeoutMs: 120_000 })

/** Command lines that name the directory. */
async function processesNaming(directory: string): Promise<readonly string[]> {
  const lines = (await readdir('/proc'))
    .filter((name) => /^\d+$/.test(name) && name !== `${process.pid}`)
    .map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''))
  return (await Promise.all(lines)).filter((line) => line.includes(directory))
}

describe.skipIf(await requirePrerequisite('rig', missingRig))('scripts/rig', () => {
  let directory: string
  beforeAll(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'lqx-second-'))
  })
  afterAll(async () => {
    await rig('down', directory)
    await rm(directory, { recursive: true, force: true })
  })

  test('says what is wrong before it starts anything', async () => {
    expect((await rig('up', directory, '--hosts', '9')).stderr).toContain('--hosts is 1 to 4')
    expect((await rig('up', `/tmp/${'x'.repeat(90)}`)).stderr).toContain('too long')
    await rm(`/tmp/${'x'.repeat(90)}`, { recursive: true })
    expect((await rig('ssh', directory, '0', 'true')).stderr).toContain('has no host 0')
    expect((await rig('status', directory)).code).toBe(3)
    expect((await rig('restart', directory)).code).toBe(2)
  })

  test('ends with the process that holds its lifeline, and down removes the rest', async () => {
    const up = spawn(script, ['up', directory, '--lifeline', '3'], { stdio: ['ignore', 'ignore', 'inherit', 'pipe'] })
    expect((await once(up, 'exit'))[0]).toBe(0)
    expect((await rig('up', directory)).stderr).toContain('nothing to do')
    expect((await rig('status', directory)).stdout).toContain('rig=up hosts=1 servers=nfs,iscsi')
    expect((await rig('servers', directory, 'start', 'ftp')).stderr).toContain('there is no server ftp')
    expect((await rig('servers', directory, 'start', 'ceph-mon')).stderr).toContain('start ceph')
    expect((await rig('servers', directory, 'heal', 'ceph')).code).toBe(0)
    expect((await rig('status', directory)).stdout).toContain('servers=nfs,iscsi ')
    expect(await processesNaming(directory)).not.toEqual([])
    up.stdio[3]?.destroy()
    await until(async () => (await processesNaming(directory)).length === 0)
    expect((await rig('status', directory)).code).toBe(3)
    expect((await rig('down', directory)).code).toBe(0)
    expect(await readdir(directory)).toEqual([])
  })
})
