import { mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { makeSocketDirectory, removeSocketDirectory } from '../../../../src/domains/backup/export-directory.ts'
import { recordingLogger } from '../../../conformance/recording-logger.ts'

const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }

describe('the directory of the socket of an export', () => {
  let base: string
  let directory: string
  let socket: string
  beforeEach(async () => {
    base = await mkdtemp(path.join(tmpdir(), 'lqx-export-'))
    directory = path.join(base, 'exports/one')
    socket = path.join(directory, 'nbd.sock')
    await makeSocketDirectory(socket, owner)
  })
  afterEach(() => rm(base, { recursive: true, force: true }))

  test('is of its owner alone, below one that others can only pass', async () => {
    expect(await stat(directory)).toMatchObject(owner)
    expect((await stat(directory)).mode & 0o777).toBe(0o700)
    expect((await stat(path.dirname(directory))).mode & 0o777).toBe(0o711)
    // What somebody else put there is not taken over.
    await expect(makeSocketDirectory(socket, owner)).rejects.toMatchObject({ code: 'EEXIST' })
  })

  test('goes with every file in it, and may be gone', async () => {
    await writeFile(socket, '')
    await writeFile(path.join(directory, 'other'), '')
    const log = recordingLogger()
    await removeSocketDirectory(socket, log)
    await removeSocketDirectory(socket, log)
    expect(await readdir(path.dirname(directory))).toEqual([])
    expect(log.lines).toEqual([])
  })

  test('is not gone below, by links or directories: these stay, and it is said', async () => {
    const elsewhere = path.join(base, 'elsewhere')
    await mkdir(elsewhere)
    await writeFile(path.join(elsewhere, 'kept'), '')
    await symlink(elsewhere, path.join(directory, 'link'))
    await symlink(path.join(elsewhere, 'kept'), socket)
    await mkdir(path.join(directory, 'below'))
    await writeFile(path.join(directory, 'below/file'), '')
    const log = recordingLogger()
    await removeSocketDirectory(socket, log)
    expect(await readdir(elsewhere)).toEqual(['kept'])
    expect(await readdir(directory)).toEqual(['below'])
    expect(await readdir(path.join(directory, 'below'))).toEqual(['file'])
    expect(log.lines.join()).toContain(directory)
  })
})
