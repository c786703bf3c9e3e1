import { execFile } from 'node:child_process'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { missingCommand, missingRoot, requirePrerequisite } from '../require.ts'
import { checkoutPath, runScript, type ScriptResult } from './run-script.ts'

const run = promisify(execFile)
const probe = checkoutPath('scripts/kvm-probe')
const lackingQemu = await requirePrerequisite('qemu', missingCommand('qemu-system-x86_64'))
const lackingRoot = await requirePrerequisite('root', missingRoot)

let directory: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lqx-probe-'))
  await chmod(directory, 0o755)
})

afterEach(() => rm(directory, { recursive: true, force: true }))

/** Puts a program of this text in QEMU's place. */
async function fakeQemu(body: string): Promise<void> {
  await writeFile(join(directory, 'qemu-system-x86_64'), `#!/bin/bash\n${body}\n`, { mode: 0o755 })
}

/** Runs the probe with the fake QEMU; /dev/null stands for a device that everybody may open. */
function ask(device = '/dev/null', ...args: string[]): Promise<ScriptResult> {
  // The promise of the script is 5 s; with a margin for a busy machine, the kill makes a broken promise visible.
  return askWithin(9_000, {}, device, ...args)
}
function askWithin(
  timeoutMs: number,
  env: Readonly<Record<string, string>>,
  device = '/dev/null',
  ...args: string[]
): Promise<ScriptResult> {
  return runScript(probe, args, {
    env: {
      PATH: `${directory}:${process.env['PATH'] ?? ''}`,
      LIMIQUANTIX_KVM_DEVICE: device,
      LIMIQUANTIX_PROBE_USER: 'root',
      LIMIQUANTIX_RUN_DIR: directory,
      ...env,
    },
    timeoutMs,
  })
}

describe.skipIf(process.arch !== 'x64')('kvm-probe', () => {
  test('a guest that reports back means kvm', async () => {
    await fakeQemu('exit 33')
    expect(await ask()).toMatchObject({ code: 0, stdout: 'kvm\n' })
  })

  test('a device that hangs the guest means qemu, and the hanging process is killed although it ignores SIGTERM', async () => {
    const pidFile = join(directory, 'pid')
    await fakeQemu(`trap '' TERM; echo $$ >${pidFile}; while :; do read -r -t 1000 _ <> <(:); done`)
    const result = await ask()
    expect(result).toMatchObject({ code: 0, stdout: 'qemu\n' })
    expect(result.stderr).toContain('did not come up')
    const pid = Number(await readFile(pidFile, 'utf8'))
    expect(() => process.kill(pid, 0)).toThrow('ESRCH')
  })

  test('a QEMU that ends by itself means qemu, with its last words', async () => {
    await fakeQemu('echo "failed to set MSR" >&2; exit 134')
    const result = await ask()
    expect(result).toMatchObject({ code: 0, stdout: 'qemu\n' })
    expect(result.stderr).toContain('exit code 134: failed to set MSR')
  })

  test('no device means qemu, without starting anything', async () => {
    await fakeQemu('exit 33')
    const result = await ask(join(directory, 'kvm'))
    expect(result).toMatchObject({ code: 0, stdout: 'qemu\n' })
    expect(result.stderr).toContain(`there is no ${directory}/kvm`)
  })

  test('a file in the place of the device means qemu', async () => {
    await fakeQemu('exit 33')
    await writeFile(join(directory, 'kvm'), '')
    expect((await ask(join(directory, 'kvm'))).stdout).toBe('qemu\n')
  })

  test('--cached asks once, and again when the device changes', async () => {
    await fakeQemu(`echo run >>${directory}/runs; exit 33`)
    for (let i = 0; i < 2; i++) expect((await ask('/dev/null', '--cached')).stdout).toBe('kvm\n')
    expect(await readFile(join(directory, 'runs'), 'utf8')).toBe('run\n')
    expect((await ask('/dev/zero', '--cached')).stdout).toBe('kvm\n')
    expect(await readFile(join(directory, 'runs'), 'utf8')).toBe('run\nrun\n')
  })

  describe.skipIf(lackingQemu)('with the real QEMU', () => {
    test('the boot sector does run and report (here under emulation)', async () => {
      const qemu = (await run('sh', ['-c', 'command -v qemu-system-x86_64'])).stdout.trim()
      await fakeQemu(`args=("$@"); args=("\${args[@]/accel=kvm/accel=tcg}"); exec ${qemu} "\${args[@]/#host/max}"`)
      // What KVM does in a tenth of a second takes seconds so, on a busy machine more than the limit is.
      const patient = { LIMIQUANTIX_PROBE_LIMIT_MS: '60000' }
      expect(await askWithin(90_000, patient)).toMatchObject({ code: 0, stdout: 'kvm\n' })
    })

    test('on this host it answers kvm or qemu', async () => {
      const result = await runScript(probe, [], { timeoutMs: 9_000 })
      expect(result.code).toBe(0)
      expect(['kvm\n', 'qemu\n']).toContain(result.stdout)
    })
  })

  describe.skipIf(lackingRoot)('as root', () => {
    test('a device that only root may open means qemu, because guests run as libvirt-qemu', async () => {
      await fakeQemu('exit 33')
      const device = join(directory, 'kvm')
      await run('mknod', ['-m', '0600', device, 'c', '1', '3'])
      const result = await runScript(probe, [], {
        env: {
          PATH: `${directory}:${process.env['PATH'] ?? ''}`,
          LIMIQUANTIX_KVM_DEVICE: device,
          LIMIQUANTIX_RUN_DIR: directory,
        },
        timeoutMs: 9_000,
      })
      expect(result).toMatchObject({ code: 0, stdout: 'qemu\n' })
      expect(result.stderr).toContain('libvirt-qemu may not open')
    })

    test('an unprivileged caller gets an answer too', async () => {
      const result = await runScript('setpriv', ['--reuid', '65534', '--regid', '65534', '--clear-groups', probe], {
        env: { LIMIQUANTIX_RUN_DIR: undefined, XDG_RUNTIME_DIR: undefined },
        timeoutMs: 9_000,
      })
      expect(result.code).toBe(0)
      expect(['kvm\n', 'qemu\n']).toContain(result.stdout)
    })
  })
})
