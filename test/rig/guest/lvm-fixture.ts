import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import type { PoolConfig } from '../../../src/core/model.ts'
import { lvmPools } from '../../../src/storage/backends/lvm.ts'
import type { PoolFixture, Stall } from '../../conformance/pool-backend.ts'
import { tempBase, tool } from '../../host/storage/local-fixture.ts'
import { atEnd } from './at-end.ts'
import { storageEnvironment } from '../../support/storage-environment.ts'

const GROUP = 'lqx-conformance'
const THIN_POOL = 'thin-data'
const FILE = '/var/tmp/lqx-conformance.img'
const DEVICE = '/dev/loop7'

/** Made once: a thin pool takes seconds to make under emulation, so the tests get the same one as an admin's, emptied. */
let prepared: Promise<void> | undefined

/** Removes everything, also what a run that was killed left: mapped volumes keep the loop device, and that keeps the file. */
async function clear(): Promise<void> {
  const maps = `dmsetup ls | grep -o '^${GROUP.replaceAll('-', '--')}-[^[:space:]]*'`
  await tool(
    'sh',
    '-c',
    `for n in 1 2 3; do for map in $(${maps}); do dmsetup remove --retry $map; done; done; losetup -d ${DEVICE}; rm -f ${FILE}; true`,
  )
}

async function prepare(): Promise<void> {
  await tool('modprobe', 'loop')
  await clear()
  atEnd(clear)
  await tool('truncate', '-s', '2G', FILE)
  await tool('losetup', DEVICE, FILE)
  await tool('vgcreate', GROUP, DEVICE)
  await tool('lvcreate', '-y', '--type', 'thin-pool', '-l', '90%FREE', '-n', THIN_POOL, GROUP)
}

/** Logical volumes of a volume group, without the thin pool. */
export async function volumesIn(group: string, thinPool: string): Promise<string[]> {
  const names = (await tool('lvs', '--noheadings', '-o', 'lv_name', group)).split('\n').map((line) => line.trim())
  return names.filter((name) => name !== '' && name !== thinPool).sort()
}

/** Leaves the thin pool without volumes and the volume group without marks. */
export async function emptyGroup(group: string, thinPool: string): Promise<void> {
  const lines = (await tool('lvs', '--noheadings', '--separator', ' ', '-o', 'lv_name,vg_tags', group))
    .trim()
    .split('\n')
  const [, tags = ''] = lines[0]?.trim().split(' ') ?? []
  const names = lines.map((line) => line.trim().split(' ')[0] ?? '').filter((name) => name !== thinPool)
  if (names.length > 0) await tool('lvremove', '-y', ...names.map((name) => `${group}/${name}`))
  if (tags !== '') await tool('vgchange', ...tags.split(',').flatMap((tag) => ['--deltag', tag]), group)
}

/** An lvm in front of PATH whose `lvcreate` does its work, reports it, and then never ends. */
export async function stalledLvm(base: string): Promise<Stall> {
  const bin = `${base}/bin`
  const fifo = `${base}/reached`
  const real = (await tool('sh', '-c', 'command -v lvm')).trim()
  await mkdir(bin)
  await tool('mkfifo', fifo)
  const script = `#!/bin/sh\n[ "$1" = lvcreate ] || exec ${real} "$@"\n${real} "$@"\necho > ${fifo}\nexec sleep 600\n`
  await writeFile(`${bin}/lvm`, script, { mode: 0o755 })
  const before = process.env['PATH'] ?? ''
  process.env['PATH'] = `${bin}:${before}`
  return {
    reached: readFile(fifo).then(() => undefined),
    end: () => {
      process.env['PATH'] = before
      return Promise.resolve()
    },
  }
}

/** A pool in an admin's thin pool on a loop device: taking it away is the disk that vanishes while nothing has it open. */
export async function lvmFixture(): Promise<PoolFixture> {
  prepared ??= prepare()
  await prepared
  const base = await tempBase()
  const environment = storageEnvironment(base, { nodeId: 'rig-node' })
  const config = (poolId: string): PoolConfig => ({
    poolId,
    kind: 'LOCAL_LVM',
    options: { volumeGroup: GROUP, thinPool: THIN_POOL, devices: [DEVICE] },
  })
  let there = true
  const giveBack = async () => {
    await tool('losetup', DEVICE, FILE)
    there = true
  }
  return {
    factory: lvmPools(environment),
    environment,
    config: config('pool-1'),
    rival: config('pool-2'),
    secrets: [],
    contents: () => volumesIn(GROUP, THIN_POOL),
    plantForeign: async (name) =>
      void (await tool('lvcreate', '-y', '-V', '64m', '--thinpool', THIN_POOL, '-n', name, GROUP)),
    async takeAway() {
      await tool('vgchange', '-an', GROUP)
      await tool('losetup', '-d', DEVICE)
      there = false
    },
    giveBack,
    stall: () => stalledLvm(base),
    async close() {
      environment.io.close()
      if (!there) await giveBack()
      await emptyGroup(GROUP, THIN_POOL)
      await rm(base, { recursive: true })
    },
  }
}
