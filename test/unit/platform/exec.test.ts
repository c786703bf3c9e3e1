import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { run } from '../../../src/platform/exec.ts'

const base = { file: 'sh', timeoutMs: 10_000 }

describe('run', () => {
  it('returns output and passes arguments without a shell', async () => {
    const result = await run({ file: 'printf', args: ['%s', '$(id); `id`'], timeoutMs: 5_000 })
    expect(result.stdout).toBe('$(id); `id`')
  })

  it('runs with LC_ALL=C and gives input on stdin', async () => {
    expect((await run({ ...base, args: ['-c', 'cat; echo $LC_ALL'], input: 'secret ' })).stdout).toBe('secret C\n')
  })

  it('names command, exit code and the end of stderr', async () => {
    await expect(run({ ...base, args: ['-c', 'echo broken >&2; exit 3'] })).rejects.toMatchObject({
      reason: 'COMMAND_FAILED',
      message: 'sh ended with exit code 3: broken',
    })
  })

  it('accepts the exit codes that are results', async () => {
    expect((await run({ ...base, args: ['-c', 'exit 3'], okCodes: [3] })).exitCode).toBe(3)
  })

  it('says which package provides a missing tool', async () => {
    await expect(
      run({ file: 'no-such-tool', args: [], package: 'tool-utils', timeoutMs: 1_000 }),
    ).rejects.toMatchObject({
      reason: 'COMMAND_MISSING',
      message: 'no-such-tool is not installed; install the Debian package tool-utils',
    })
  })

  it('kills the whole group at the deadline, also a grandchild that ignores TERM', async () => {
    const script = `sh -c 'trap "" TERM; echo $$ >&2; while :; do sleep 1; done' & wait`
    const failed = await run({ ...base, args: ['-c', `echo start; ${script}`], timeoutMs: 300 }).catch(
      (error: unknown) => error,
    )
    expect(failed).toMatchObject({ reason: 'DEADLINE_EXCEEDED' })
  })

  it('goes on without a process that survives its killing', async () => {
    // A grandchild in a session of its own keeps the pipes open, which is how a process stuck in the kernel looks from here.
    const script = 'setsid sleep 20 & echo $!; wait'
    const failed = run({ ...base, args: ['-c', script], timeoutMs: 200 })
    await expect(failed).rejects.toMatchObject({ reason: 'COMMAND_STUCK' })
  })

  it('ends the command when the caller aborts', async () => {
    const controller = new AbortController()
    const running = run({ ...base, args: ['-c', 'sleep 60'] }, controller.signal)
    controller.abort()
    await expect(running).rejects.toMatchObject({ reason: 'CANCELLED' })
  })

  it('refuses more output than agreed', async () => {
    await expect(run({ ...base, args: ['-c', 'yes | head -c 100000'], maxOutputBytes: 1_000 })).rejects.toMatchObject({
      reason: 'COMMAND_FAILED',
    })
  })

  it('is the only place that starts commands', async () => {
    // The import rule is enforced by dependency-cruiser; this keeps its door from being renamed away.
    expect(await readFile('.dependency-cruiser.cjs', 'utf8')).toContain("door('execa-door', 'execa', '^src/platform/')")
  })
})
