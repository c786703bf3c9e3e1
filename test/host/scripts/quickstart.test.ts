import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { missingRoot, requirePrerequisite } from '../require.ts'
import { checkoutPath, runScript, type ScriptResult } from './run-script.ts'

describe.skipIf(await requirePrerequisite('root', missingRoot))('quickstart, before it does anything', () => {
  let scratch: string

  beforeEach(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'lqx-quickstart-'))
  })

  afterEach(() => rm(scratch, { recursive: true, force: true }))

  const quickstart = (args: string[], env: Record<string, string> = {}): Promise<ScriptResult> =>
    runScript(checkoutPath('scripts/quickstart'), args, {
      env: { QS_WORK_DIR: scratch, QS_LOG_DIR: join(scratch, 'log'), LIMIQUANTIX_RUN_DIR: scratch, ...env },
    })

  test('--help tells the options and variables', async () => {
    const { code, stdout } = await quickstart(['--help'])
    expect(code).toBe(0)
    for (const word of ['--keep', '--stop', 'IMAGE_URL', 'IMAGE_SHA256', 'QS_WORK_DIR']) expect(stdout).toContain(word)
  })

  test('refuses an unknown option, and a checksum without its image', async () => {
    expect(await quickstart(['--kepe'])).toMatchObject({ code: 1 })
    expect((await quickstart([], { IMAGE_SHA256: 'ab' })).stderr).toContain('IMAGE_SHA256 without IMAGE_URL')
  })

  test('--stop never removes a directory that it did not make', async () => {
    await writeFile(join(scratch, 'precious'), 'data')
    expect((await quickstart(['--stop'])).code).toBe(0)
    expect(await readFile(join(scratch, 'precious'), 'utf8')).toBe('data')
  })
})
