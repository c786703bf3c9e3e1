import { execFile } from 'node:child_process'
import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { silentLogger, type Logger } from '../../../src/core/context.ts'
import { localPools } from '../../../src/storage/backends/local.ts'
import type { StorageEnvironment } from '../../../src/storage/environment.ts'
import { MARKER_FILE } from '../../../src/storage/pool-marker.ts'
import type { PoolFixture, Stall } from '../../conformance/pool-backend.ts'
import { storageEnvironment } from '../../support/storage-environment.ts'

const run = promisify(execFile)

/** Runs a host tool of a test; rejects with its output. */
export async function tool(file: string, ...args: string[]): Promise<string> {
  return (await run(file, args, { timeout: 60_000 })).stdout
}

/** An environment below `base`, with its own storage helpers. */
export function testEnvironment(base: string, log: Logger = silentLogger): StorageEnvironment {
  return storageEnvironment(base, { log })
}

/** A temporary directory that QEMU's user could enter. */
export async function tempBase(): Promise<string> {
  const base = await mkdtemp(path.join(tmpdir(), 'lqx-storage-'))
  await chmod(base, 0o711)
  return base
}

/** Everything below a pool root that is stored for volumes: relative paths, without the marker and the fixed bookkeeping. */
export async function poolContents(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true })
  const fixed = ['.limiquantix', '.limiquantix/volumes', '.limiquantix/volumes/probe', MARKER_FILE]
  return entries.filter((entry) => !fixed.includes(entry)).sort()
}

/** A qemu-img in front of PATH whose `create` reports that it began and then does `then` (a line of shell). */
async function scriptedQemuImg(base: string, then: string): Promise<{ reached: Promise<void>; end(): void }> {
  const bin = `${base}/bin`
  const fifo = `${base}/reached`
  const real = (await tool('sh', '-c', 'command -v qemu-img')).trim()
  await mkdir(bin)
  await tool('mkfifo', fifo)
  const script = `#!/bin/sh\n[ "$1" = create ] || exec ${real} "$@"\necho > ${fifo}\n${then.replace('REAL', real)}\n`
  await writeFile(`${bin}/qemu-img`, script, { mode: 0o755 })
  const before = process.env['PATH'] ?? ''
  process.env['PATH'] = `${bin}:${before}`
  return {
    reached: readFile(fifo).then(() => undefined),
    end: () => {
      process.env['PATH'] = before
    },
  }
}

/** A qemu-img whose `create` never ends. */
export async function stalledQemuImg(base: string): Promise<Stall> {
  const { reached, end } = await scriptedQemuImg(base, 'exec sleep 600')
  return { reached, end: () => Promise.resolve(end()) }
}

/** A qemu-img whose `create` waits for `goOn` before it does its work. */
export async function heldQemuImg(
  base: string,
): Promise<{ reached: Promise<void>; goOn(): Promise<void>; end(): void }> {
  const gate = `${base}/gate`
  await tool('mkfifo', gate)
  const held = await scriptedQemuImg(base, `cat ${gate} > /dev/null\nexec REAL "$@"`)
  return { ...held, goOn: () => writeFile(gate, '') }
}

/** A local pool whose root is a mount point: taking it away is what an unmounted disk looks like. */
export async function localFixture(): Promise<PoolFixture> {
  const base = await tempBase()
  const data = `${base}/data`
  const root = `${base}/mnt`
  await mkdir(data)
  await mkdir(root)
  await tool('mount', '--bind', data, root)
  const environment = testEnvironment(base)
  let mounted = true
  const takeAway = async () => {
    await tool('umount', root)
    mounted = false
  }
  return {
    factory: localPools(environment),
    environment,
    config: { poolId: 'pool-1', kind: 'LOCAL_DIR', options: { path: root } },
    rival: { poolId: 'pool-2', kind: 'LOCAL_DIR', options: { path: root } },
    secrets: [],
    contents: () => poolContents(data),
    plantForeign: (name) => writeFile(`${data}/${name}.qcow2`, 'not ours'),
    takeAway,
    giveBack: async () => {
      const strayed = await readdir(root)
      if (strayed.length > 0) throw new Error(`written below the lost mount: ${strayed.join(', ')}`)
      await tool('mount', '--bind', data, root)
      mounted = true
    },
    stall: () => stalledQemuImg(base),
    close: async () => {
      environment.io.close()
      if (mounted) await tool('umount', '-l', root)
      await rm(base, { recursive: true })
    },
  }
}

/** True when there is something at `file`. */
export async function isThere(file: string): Promise<boolean> {
  return lstat(file).then(
    () => true,
    () => false,
  )
}
