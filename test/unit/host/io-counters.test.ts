import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect, test } from 'vitest'
import { HostIoCounters, parseDiskStats, parseNetDev } from '../../../src/host/io-counters.ts'

const disks = (
  readSectors: number,
  busyMs: number,
) => `   8       0 sda 100 0 ${readSectors} 10 50 0 80 20 0 ${busyMs} 30 0 0 0 0
   8       1 sda1 90 0 1000 10 50 0 80 20 0 15 30
 259       0 nvme0n1 1 0 2 0 3 0 4 0 0 5 0
 259       1 nvme0n1p1 1 0 2 0 3 0 4 0 0 5 0
   7       0 loop0 1 0 2 0 3 0 4 0 0 5 0
 253       0 dm-0 1 0 2 0 3 0 4 0 0 5 0
`
const nics = (rxBytes: number) => `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0
  eth0:${rxBytes} 20 3 0 0 0 0 0 400 50 6 0 0 0 0 0
 vnet0: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0
br-a:9 9 9 0 0 0 0 0 9 9 9 0 0 0 0 0
`

test('whole disks of the host are told, partitions and what lies over disks are not', () => {
  expect(parseDiskStats(disks(1000, 5))).toEqual([
    { device: 'sda', reads: 100, readBytes: 512_000, writes: 50, writeBytes: 40_960, busyMs: 5 },
    { device: 'nvme0n1', reads: 1, readBytes: 1024, writes: 3, writeBytes: 2048, busyMs: 5 },
  ])
  expect(parseDiskStats('')).toEqual([])
})

test('interfaces of the host are told, loopback and taps of guests are not', () => {
  expect(parseNetDev(nics(100))).toEqual([
    { name: 'eth0', rxBytes: 100, rxPackets: 20, rxErrors: 3, txBytes: 400, txPackets: 50, txErrors: 6 },
    { name: 'br-a', rxBytes: 9, rxPackets: 9, rxErrors: 9, txBytes: 9, txPackets: 9, txErrors: 9 },
  ])
})

test('rates are those of the time between two readings; a counter that began anew is no negative rate', async () => {
  const proc = await mkdtemp(path.join(tmpdir(), 'lqx-proc-'))
  try {
    await mkdir(path.join(proc, 'net'))
    let now = 0
    const counters = new HostIoCounters({ proc, now: () => now })
    const at = async (ms: number, readSectors: number, busyMs: number, rxBytes: number) => {
      await writeFile(path.join(proc, 'diskstats'), disks(readSectors, busyMs))
      await writeFile(path.join(proc, 'net/dev'), nics(rxBytes))
      now = ms
      const { disks: told, nics: toldNics } = await counters.read()
      return [told[0]?.readBytesPerSecond, told[0]?.busyPercent, toldNics[0]?.rxBytesPerSecond]
    }
    expect(await at(0, 1000, 0, 100)).toEqual([0, 0, 0])
    expect(await at(2_000, 1004, 500, 300)).toEqual([1024, 25, 100])
    expect(await at(2_500, 9999, 500, 999)).toEqual([1024, 25, 100])
    expect(await at(4_000, 4, 0, 0)).toEqual([0, 0, 0])
  } finally {
    await rm(proc, { recursive: true })
  }
})
