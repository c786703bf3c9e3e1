import { createHash } from 'node:crypto'
import { copyFile, mkdtemp, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { inheritHandlers, type InheritParams } from '../../../src/images/lease/inherit.ts'
import { receivedNames, type ImageTarget } from '../../../src/images/image-target.ts'
import { TransferJournal } from '../../../src/images/transfer-journal.ts'
import { rawDisk } from './image-server.ts'

const URL = 'https://a.example/disk.img'
const bytes = rawDisk(4 * 1024 * 1024)
let directory: string
let target: ImageTarget
let theirs: string
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'lqx-inherit-'))
  target = { jobId: 'mine', base: directory, directory, fileName: 'disk.img' }
  const names = receivedNames({ ...target, jobId: 'dead' })
  theirs = path.join(directory, names.file)
  await writeFile(theirs, bytes)
  const { journal } = await TransferJournal.open(path.join(directory, names.journal))
  const content = { source: 0, location: URL, finalUrl: URL, totalLength: 2 * bytes.length, validators: {} }
  await journal.put({ version: 1, content, durable: bytes.length, url: URL, inode: (await stat(theirs)).ino })
  await journal.close()
})
afterEach(() => rm(directory, { recursive: true }))

const inherit = () => {
  const params: InheritParams = { target, fromJob: 'dead', urls: [URL] }
  return inheritHandlers['lease.inherit']?.(params as never, {
    signal: AbortSignal.timeout(10_000),
    emit: () => undefined,
  })
}
const ours = async () => (await readdir(directory)).filter((name) => name.startsWith('.lqx-mine-'))

test('what a dead host has received becomes what this job has', async () => {
  expect(await inherit()).toBe(bytes.length)
  const { file, journal } = receivedNames(target)
  expect(await ours()).toHaveLength(2)
  expect(await readdir(directory)).toHaveLength(2)
  const copied = await readFile(path.join(directory, file))
  expect(createHash('sha256').update(copied).digest()).toEqual(createHash('sha256').update(bytes).digest())
  const entry = await TransferJournal.read(path.join(directory, journal))
  expect(entry).toMatchObject({ durable: bytes.length, inode: (await stat(path.join(directory, file))).ino })
})

test('another file in its place, or a link to it, is of no use', async () => {
  await copyFile(theirs, `${theirs}.new`)
  await rename(theirs, `${theirs}.old`)
  await rename(`${theirs}.new`, theirs)
  expect(await inherit()).toBe(0)
  await rm(theirs)
  await symlink(`${theirs}.old`, theirs)
  expect(await inherit()).toBe(0)
  await rm(theirs)
  expect(await inherit()).toBe(0)
  expect(await ours()).toEqual([])
})
