import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { verifyAudit } from '../../../src/audit/verify-audit.ts'
import { auditDirectory, numbersOf, removeAuditDirectories } from './audit-directory.ts'

const CHILD = path.join(import.meta.dirname, 'writer-child.ts')

afterAll(removeAuditDirectories)

test('killed while it writes, again and again: the chain holds, and no line is lost that was said to be on disk', async () => {
  const directory = await auditDirectory()
  const written: number[] = []
  for (let round = 0; round < 6; round++) {
    const start = round * 1_000_000
    const child = spawn(process.execPath, [CHILD, directory, String(start)], { stdio: ['ignore', 'pipe', 'inherit'] })
    let said = ''
    child.stdout.setEncoding('utf8')
    for await (const text of child.stdout as AsyncIterable<string>) {
      said += text
      if (said.split('\n').length > 10 + 3 * round) child.kill('SIGKILL')
    }
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    const last = Number(said.slice(0, said.lastIndexOf('\n')).split('\n').at(-1))
    for (let n = start; n <= last; n++) written.push(n)
  }
  const { problems, lines } = await verifyAudit(directory)
  expect(problems).toEqual([])
  expect(lines).toBeGreaterThan(written.length)
  const there = new Set(await numbersOf(directory))
  expect(written.filter((n) => !there.has(n))).toEqual([])
}, 60_000)
