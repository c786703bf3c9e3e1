import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { buildSeedDocuments } from '../../../src/cloudinit/documents.ts'
import { findQemuGroup } from '../../../src/cloudinit/qemu-group.ts'
import { writeSeed } from '../../../src/cloudinit/seed.ts'
import { silentLogger } from '../../../src/core/context.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'

const run = promisify(execFile)
const missing = await requirePrerequisite('xorriso', missingCommand('xorriso', 'blkid'))
const identity = { vmId: '6f0c1a52-0d0e-4a51-9a44-1f6a2a7c9b10', name: 'web-1' }

describe.skipIf(missing !== undefined)('NoCloud seed', () => {
  let directory: string
  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'lqx-seed-'))
  })
  afterEach(() => rm(directory, { recursive: true, force: true }))

  test('is an ISO with the label cidata that holds the given documents', async () => {
    const documents = buildSeedDocuments(
      { userData: '#cloud-config\na: ü\n', metaData: '', networkConfig: 'version: 2\n', vendorData: '#!/bin/sh\n' },
      identity,
    )
    const vmDirectory = path.join(directory, 'vm')
    const iso = await writeSeed(vmDirectory, documents, { signal: new AbortController().signal, log: silentLogger })
    expect((await run('blkid', ['-p', '-o', 'value', '-s', 'LABEL', iso])).stdout.trim()).toBe('cidata')
    const out = path.join(directory, 'out')
    await run('xorriso', ['-osirrox', 'on', '-indev', iso, '-extract', '/', out])
    const read = (name: string) => readFile(path.join(out, name), 'utf8')
    expect((await readdir(out)).sort()).toEqual(['meta-data', 'network-config', 'user-data', 'vendor-data'])
    expect(await read('user-data')).toBe(documents.userData)
    expect(await read('meta-data')).toBe(documents.metaData)
    expect(await read('network-config')).toBe(documents.networkConfig)
    expect(await read('vendor-data')).toBe(documents.vendorData)
    const { mode, gid } = await stat(iso)
    expect(mode & 0o777).toBe(0o640)
    if (process.getuid?.() === 0) expect(gid).toBe((await findQemuGroup()) ?? 0)
    expect(await readdir(vmDirectory)).toEqual(['cloud-init.iso'])
  })

  test('leaves nothing behind when it is aborted', async () => {
    const controller = new AbortController()
    controller.abort(new Error('enough'))
    const documents = buildSeedDocuments(undefined, identity)
    await expect(writeSeed(directory, documents, { signal: controller.signal, log: silentLogger })).rejects.toThrow()
    expect(await readdir(directory)).toEqual([])
  })
})
