import { mkdir, rm, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { verifyAudit } from '../../../src/audit/verify-audit.ts'
import {
  auditDirectory,
  filesOf,
  linesOf,
  numbered,
  numbersOf,
  openLog,
  removeAuditDirectories,
} from './audit-directory.ts'

afterAll(removeAuditDirectories)

test('a thousand calls at once are one chain, in the order in which they came', async () => {
  const directory = await auditDirectory()
  const log = openLog(directory, { maxFileBytes: 50_000, keepFiles: 100 })
  await Promise.all(Array.from({ length: 1000 }, (_, n) => log.append(numbered(n))))
  expect(log.status()).toMatchObject({ healthy: true, waiting: 0, lost: 0 })
  await log.close()

  expect(await numbersOf(directory)).toEqual(Array.from({ length: 1000 }, (_, n) => n))
  expect(await verifyAudit(directory)).toMatchObject({ problems: [], notes: [], first: 1 })
  const files = await filesOf(directory)
  expect(files.length).toBeGreaterThan(3)
  for (const file of [...files.map((f) => f.path), path.join(directory, 'head')]) {
    expect((await stat(file)).mode & 0o777).toBe(0o600)
  }
  expect((await stat(directory)).mode & 0o777).toBe(0o700)
})

test('a line is on disk when its promise resolves', async () => {
  const directory = await auditDirectory()
  const log = openLog(directory)
  for (const n of [1, 2, 3]) {
    await log.append(numbered(n))
    expect((await numbersOf(directory)).at(-1)).toBe(n)
  }
  await log.close()
})

test('goes on where the run before ended', async () => {
  const directory = await auditDirectory()
  for (const n of [1, 2, 3]) {
    const log = openLog(directory)
    await log.append(numbered(n))
    await log.close()
  }
  expect((await linesOf(directory)).map(({ seq }) => seq)).toEqual([1, 2, 3])
  expect(await verifyAudit(directory)).toMatchObject({ problems: [], notes: [] })
})

test('keeps so many files, and says which are gone: taking away one more is found', async () => {
  const directory = await auditDirectory()
  const log = openLog(directory, { maxFileBytes: 1000, keepFiles: 3 })
  for (let n = 0; n < 40; n++) await log.append(numbered(n))
  await log.close()
  const files = await filesOf(directory)
  expect(files).toHaveLength(3)
  expect((await verifyAudit(directory)).problems).toEqual([])
  await rm(files[0]?.path ?? '')
  expect((await verifyAudit(directory)).problems).toEqual([expect.stringMatching(/^the lines \d+ to \d+ are missing$/)])
})

test('rotation goes on over a file that a crash left empty', async () => {
  const directory = await auditDirectory()
  const log = openLog(directory)
  await log.append(numbered(1))
  await log.close()
  await writeFile(path.join(directory, 'audit-000000000002.jsonl'), '')
  const next = openLog(directory)
  await next.append(numbered(2))
  await next.close()
  expect(await verifyAudit(directory)).toMatchObject({ problems: [], notes: [], files: 2, lines: 2 })
})

test('an unfinished last line, cut at any byte, is cut off and told of; the chain goes on', async () => {
  const directory = await auditDirectory()
  const log = openLog(directory)
  for (const n of [1, 2]) await log.append(numbered(n))
  await log.close()
  const [file] = await filesOf(directory)
  const { path: name = '', text = '' } = file ?? {}
  const first = text.indexOf('\n') + 1
  // As after a crash: the line is there in part, and the kept end is that of the line before.
  const head = `${'1'.padStart(12, '0')} ${JSON.parse(text.slice(first)).prev}\n`
  for (let cut = first; cut < text.length; cut += 7) {
    await writeFile(name, text.slice(0, cut))
    await writeFile(path.join(directory, 'head'), head)
    const torn = await verifyAudit(directory)
    expect(torn.problems).toEqual([])
    const next = openLog(directory)
    await next.append(numbered(3))
    await next.close()
    const { problems, notes } = await verifyAudit(directory)
    expect(problems).toEqual([])
    expect(notes).toHaveLength(cut === first ? 0 : 1)
    expect(await numbersOf(directory)).toEqual([1, 3])
  }
  await writeFile(name, text.slice(0, -1))
  await writeFile(path.join(directory, 'head'), head)
  const next = openLog(directory)
  await next.append(numbered(3))
  await next.close()
  expect(await verifyAudit(directory)).toMatchObject({ problems: [], notes: [] })
  expect(await numbersOf(directory)).toEqual([1, 2, 3])
})

test('what was taken away while no agent ran is written down at the next start', async () => {
  const directory = await auditDirectory()
  const log = openLog(directory)
  for (const n of [1, 2, 3]) await log.append(numbered(n))
  await log.close()
  const [file] = await filesOf(directory)
  const lines = (file?.text ?? '').split('\n')
  await writeFile(file?.path ?? '', `${lines[0]}\n`)
  const next = openLog(directory)
  await next.append(numbered(4))
  await next.close()
  const { problems } = await verifyAudit(directory)
  expect(problems.join('\n')).toContain('the lines 2 to 3 are missing')
  expect(await numbersOf(directory)).toEqual([1, 4])
})

test('what cannot be written waits, and follows in its order', async () => {
  const directory = await auditDirectory()
  await writeFile(directory, 'a file is in the way')
  const log = openLog(directory)
  await expect(log.append(numbered(1))).rejects.toMatchObject({ reason: 'AUDIT_UNAVAILABLE' })
  await expect(log.append(numbered(2))).rejects.toMatchObject({ reason: 'AUDIT_UNAVAILABLE' })
  expect(log.status()).toMatchObject({ healthy: false, waiting: 2 })
  await rm(directory)
  await mkdir(directory)
  await log.append(numbered(3))
  expect(log.status()).toMatchObject({ healthy: true, waiting: 0 })
  await log.close()
  expect(await numbersOf(directory)).toEqual([1, 2, 3])
  expect((await verifyAudit(directory)).problems).toEqual([])
})

test('lines beyond ten thousand are counted, and the log says how many', async () => {
  const directory = await auditDirectory()
  await writeFile(directory, 'a file is in the way')
  const log = openLog(directory)
  const outcomes = await Promise.allSettled(Array.from({ length: 10_005 }, (_, n) => log.append(numbered(n))))
  expect(new Set(outcomes.map(({ status }) => status))).toEqual(new Set(['rejected']))
  expect(log.status()).toMatchObject({ waiting: 10_000, lost: 5 })
  await rm(directory)
  await log.close()
  expect((await verifyAudit(directory)).notes).toEqual([expect.stringContaining(': 5 lines since ')])
})
