import { rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { decodeLine, sha256 } from '../../../src/audit/audit-line.ts'
import { verifyAudit } from '../../../src/audit/verify-audit.ts'
import { auditDirectory, filesOf, numbered, openLog, removeAuditDirectories } from './audit-directory.ts'

let directory: string
let file: string
let lines: string[]

afterAll(removeAuditDirectories)

beforeEach(async () => {
  directory = await auditDirectory()
  const log = openLog(directory)
  for (let n = 0; n < 12; n++) await log.append(numbered(n))
  await log.close()
  const [only] = await filesOf(directory)
  file = only?.path ?? ''
  lines = (only?.text ?? '').trimEnd().split('\n')
})

const write = (changed: readonly string[]) => writeFile(file, changed.map((line) => `${line}\n`).join(''))
const problems = async () => (await verifyAudit(directory)).problems

test('any changed line is found', async () => {
  for (const [at, line] of lines.entries()) {
    await write(lines.with(at, line.replace('VM_NOT_FOUND', 'VM_NOT_FOUNX')))
    expect(await problems(), `line ${at + 1}`).not.toEqual([])
  }
})

test('any changed byte of a line is found', async () => {
  const at = 5
  const line = Buffer.from(lines[at] ?? '')
  for (let byte = 0; byte < line.length; byte++) {
    const changed = Buffer.from(line)
    changed[byte] = (changed[byte] ?? 0) ^ 1
    await write(lines.with(at, changed.toString('latin1')))
    expect(await problems(), `byte ${byte}`).not.toEqual([])
  }
})

test('any removed line is found, the last ones too', async () => {
  for (let at = 0; at < lines.length; at++) {
    await write(lines.toSpliced(at, 1))
    expect(await problems(), `line ${at + 1}`).not.toEqual([])
    await write(lines.slice(0, at))
    expect(await problems(), `from line ${at + 1} on`).not.toEqual([])
  }
})

test('any inserted or repeated line is found, wherever it claims to belong', async () => {
  for (let at = 0; at <= lines.length; at++) {
    const before = lines[at - 1]
    const made = {
      ...decodeLine(Buffer.from(lines[0] ?? '')),
      seq: at + 1,
      prev: before === undefined ? '' : sha256(before),
    }
    await write(lines.toSpliced(at, 0, JSON.stringify(made)))
    // Behind the end it is one more line, which only the running agent can tell from its own: it has the end in mind.
    if (at < lines.length) expect(await problems(), `before line ${at + 1}`).not.toEqual([])
    if (before === undefined) continue
    await write(lines.toSpliced(at, 0, before))
    expect(await problems(), `line ${at} twice`).not.toEqual([])
  }
})

test('lines that changed places are found', async () => {
  await write([lines[1] ?? '', lines[0] ?? '', ...lines.slice(2)])
  expect(await problems()).not.toEqual([])
})

test('a log that was rewritten from some line on is found by the kept end', async () => {
  let prev = '0'.repeat(64)
  const rewritten = lines.map((line) => {
    const text = JSON.stringify({ ...decodeLine(Buffer.from(line)), prev, time: '2020-01-01T00:00:00.000Z' })
    prev = sha256(text)
    return text
  })
  await write(rewritten)
  expect(await problems()).toEqual([expect.stringContaining('is not the one that was kept in mind')])
  await rm(path.join(directory, 'head'))
  expect(await problems()).toEqual([expect.stringContaining('(head) is missing')])
})

test('a file that is missing as a whole is found', async () => {
  await rm(file)
  expect(await problems()).toEqual(['the lines 1 to 12 are missing'])
})

test('no log at all is no problem', async () => {
  expect(await verifyAudit(path.join(directory, 'elsewhere'))).toMatchObject({ lines: 0, problems: [] })
})
