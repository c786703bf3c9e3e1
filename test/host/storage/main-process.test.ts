import { readdir, readFile, rm } from 'node:fs/promises'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { missingCommand, missingRoot, requirePrerequisite } from '../require.ts'
import { tempBase, tool } from './local-fixture.ts'

const missing = await requirePrerequisite(
  'strace',
  async () => missingRoot() ?? (await missingCommand('strace', 'qemu-img')()),
)
const script = path.join(import.meta.dirname, 'main-process.ts')

describe.skipIf(missing !== undefined)('the main process', () => {
  test('makes no file-system call on a pool path in the whole life of a pool', async () => {
    const base = await tempBase()
    try {
      // One trace per thread; every system call that takes a file name.
      const root = `${base}/pool-under-watch`
      const output = await tool(
        'strace',
        ...['-ff', '-qq', '-s', '4096', '-e', 'trace=%file', '-e', 'signal=none', '-o', `${base}/trace`],
        ...[process.execPath, script, base, root],
      )
      const { threads } = JSON.parse(output) as { threads: number[]; helpers: number[] }
      const calls = { main: [] as string[], others: [] as string[] }
      for (const file of (await readdir(base)).filter((name) => name.startsWith('trace.'))) {
        const mine = threads.includes(Number(file.slice('trace.'.length)))
        const lines = (await readFile(`${base}/${file}`, 'utf8')).split('\n')
        const onPool = lines.filter((line) => line.includes(root) && !line.startsWith('execve('))
        calls[mine ? 'main' : 'others'].push(...onPool)
      }
      expect(threads.length).toBeGreaterThan(4)
      expect(calls.main).toEqual([])
      // The work was done, and the trace would have shown it: by the helpers and qemu-img.
      expect(calls.others.join('\n')).toContain('pool-under-watch/base.qcow2')
      expect(calls.others.length).toBeGreaterThan(20)
    } finally {
      await rm(base, { recursive: true })
    }
  })
})
