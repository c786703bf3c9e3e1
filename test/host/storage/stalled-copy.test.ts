import { readdirSync, readFileSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { MIB } from '../../../src/core/bytes.ts'
import { silentLogger } from '../../../src/core/context.ts'
import type { PoolBackend, VolumeSpec } from '../../../src/storage/backend.ts'
import { localPools } from '../../../src/storage/backends/local.ts'
import type { StorageEnvironment } from '../../../src/storage/environment.ts'
import { until } from '../../support/until.ts'
import { missingCommand, missingRoot, requirePrerequisite } from '../require.ts'
import { isThere, poolContents, tempBase, testEnvironment, tool } from './local-fixture.ts'

const missing = await requirePrerequisite(
  'local-pool',
  async () => missingRoot() ?? (await missingCommand('qemu-img')()),
)
const DISK_BYTES = 32 * MIB
const STALL_MS = 10_000

describe.skipIf(missing !== undefined)('a copy that hangs', () => {
  let base: string
  let environment: StorageEnvironment
  let pool: PoolBackend
  const ctx = { signal: new AbortController().signal, log: silentLogger }

  beforeEach(async () => {
    base = await tempBase()
    await mkdir(`${base}/pool`)
    environment = testEnvironment(base)
    pool = localPools(environment).create({ poolId: 'p1', kind: 'LOCAL_DIR', options: { path: `${base}/pool` } })
    await pool.activate({ mode: 'initialise' }, ctx)
  })
  afterEach(async () => {
    environment.io.close()
    await rm(base, { recursive: true })
  })

  /** An image that takes seconds to read, however fast the host is: each of its sectors is compressed by itself. */
  const slowImage = async () => {
    await writeFile(`${base}/disk.raw`, Buffer.alloc(DISK_BYTES, 'the quick brown fox jumps over the lazy dog; '))
    const slow = ['-c', '-o', 'cluster_size=512']
    await tool('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', ...slow, `${base}/disk.raw`, `${base}/disk.qcow2`)
    return `${base}/disk.qcow2`
  }
  const copier = () =>
    readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .find((pid) => {
        try {
          const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
          return line.startsWith('qemu-img\0convert\0') && line.includes(base)
        } catch {
          return false
        }
      })

  test('is ended with its qemu-img, leaves nothing, and is told with volume and pool; the volume can then be made', async () => {
    const path = await slowImage()
    const spec: VolumeSpec = {
      name: 'disk',
      format: 'qcow2',
      sizeBytes: DISK_BYTES,
      content: { type: 'copy', source: { type: 'file', path, format: 'qcow2' } },
      owner: 'vm:1',
    }
    let stopped: number | undefined
    const onCopy = ({ bytesDone }: { readonly bytesDone: number }) => {
      if (bytesDone === 0 || stopped !== undefined) return
      stopped = Number(copier())
      process.kill(stopped, 'SIGSTOP')
    }
    const made = pool.createVolume(spec, ctx, { onCopy, stallTimeoutMs: STALL_MS })
    await expect(made).rejects.toMatchObject({
      reason: 'DEADLINE_EXCEEDED',
      message: `the copy of ${path} into volume disk of pool p1 made no progress for 10 s; look at the storage of both`,
    })
    expect(stopped).toBeGreaterThan(0)
    await until(async () => !(await isThere(`/proc/${stopped}`)))
    expect(copier()).toBeUndefined()
    expect(await poolContents(`${base}/pool`)).toEqual([])
    expect(await pool.createVolume(spec, ctx)).toMatchObject({ name: 'disk', virtualSizeBytes: DISK_BYTES })
  }, 200_000)
})
