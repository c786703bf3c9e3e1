import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { missingCommand, requirePrerequisite } from '../require.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../../..', import.meta.url))
const unitFile = join(root, 'systemd', 'limiquantix-node.service')

/** Settings that give a unit a mount namespace of its own (systemd.exec(5)): QEMU would not see pools that it mounts. */
const MOUNT_NAMESPACE_SETTINGS = new Set(
  `ProtectSystem ProtectHome PrivateTmp PrivateDevices PrivateMounts PrivateIPC PrivateNetwork PrivateUsers ProtectKernelTunables
   ProtectKernelModules ProtectKernelLogs ProtectControlGroups ProtectProc ProcSubset ReadWritePaths ReadOnlyPaths InaccessiblePaths
   ExecPaths NoExecPaths TemporaryFileSystem BindPaths BindReadOnlyPaths MountFlags MountAPIVFS RootDirectory RootImage MountImages
   ExtensionImages ExtensionDirectories DynamicUser IPCNamespacePath NetworkNamespacePath`.split(/\s+/),
)

async function settings(): Promise<readonly (readonly [name: string, value: string])[]> {
  const lines = (await readFile(unitFile, 'utf8')).split('\n')
  return lines
    .filter((line) => /^[A-Z][A-Za-z]*=/.test(line))
    .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)] as const)
}

describe('limiquantix-node.service', () => {
  test('keeps the host mount namespace, so that QEMU sees the pools which the agent mounts', async () => {
    const names = (await settings()).map(([name]) => name)
    expect(names.filter((name) => MOUNT_NAMESPACE_SETTINGS.has(name))).toEqual([])
  })

  test('notifies, is watched, restarts for ever and leaves other units alone when it stops', async () => {
    const unit = new Map(await settings())
    expect(Object.fromEntries(unit)).toMatchObject({
      Type: 'notify',
      NotifyAccess: 'all',
      Restart: 'always',
      StartLimitIntervalSec: '0',
      KillMode: 'mixed',
    })
    expect(Number(unit.get('WatchdogSec'))).toBeGreaterThan(0)
  })

  test('makes the state directory passable for the qemu user, but not listable', async () => {
    expect(new Map(await settings()).get('StateDirectoryMode')).toBe('0711')
  })
})

describe.skipIf(await requirePrerequisite('systemd-analyze', missingCommand('systemd-analyze')))(
  'systemd-analyze',
  () => {
    let directory: string
    let unit: string

    beforeAll(async () => {
      directory = await mkdtemp(join(tmpdir(), 'lqx-unit-'))
      await mkdir(join(directory, 'units'))
      unit = join(directory, 'units', 'limiquantix-node.service')
      // The checkout stands for the installed tree, so that verify finds the program.
      await writeFile(unit, (await readFile(unitFile, 'utf8')).replaceAll('/opt/limiquantix-node/', root))
    })

    afterAll(() => rm(directory, { recursive: true, force: true }))

    test('verify has nothing to say', async () => {
      const { stdout, stderr } = await run('systemd-analyze', ['verify', '--man=no', unit])
      expect(stdout + stderr).toBe('')
    })

    test('verify does complain about a unit with a mistake (so that silence means something)', async () => {
      const broken = join(directory, 'units', 'broken.service')
      await writeFile(broken, '[Service]\nType=notify\nExecStart=/does/not/exist\nRestrt=always\n')
      const outcome = await run('systemd-analyze', ['verify', '--man=no', broken]).then(
        ({ stdout, stderr }) => stdout + stderr,
        (error: { stderr?: string }) => error.stderr ?? '',
      )
      expect(outcome).toContain('Restrt')
    })

    test('security: the exposure stays at or below the recorded 5.9', async () => {
      const { stdout } = await run('systemd-analyze', ['security', '--offline=yes', '--no-pager', unit])
      const exposure = /Overall exposure level for limiquantix-node\.service: ([\d.]+)/.exec(stdout)?.[1]
      process.stdout.write(`systemd-analyze security: ${exposure ?? 'no figure'}\n`)
      expect(Number(exposure)).toBeLessThanOrEqual(5.9)
    })
  },
)
