import { describe, expect, it } from 'vitest'
import { parseMemInfo } from '../../../src/host/memory.ts'
import { parseOsRelease } from '../../../src/host/os-release.ts'
import { cpuUsagePercent, parseCpuTimes, parseLoadAverage } from '../../../src/host/telemetry.ts'

describe('parseMemInfo', () => {
  it('counts as used what cannot be given away', () => {
    const text = `MemTotal:       16384000 kB
MemFree:          512000 kB
MemAvailable:    8192000 kB
Buffers:          100000 kB
Cached:          7000000 kB
Active(anon):    1000000 kB
SwapTotal:       2048000 kB
SwapFree:        2000000 kB
HugePages_Total:       0
`
    expect(parseMemInfo(text)).toEqual({
      totalBytes: 16_384_000 * 1024,
      availableBytes: 8_192_000 * 1024,
      usedBytes: 8_192_000 * 1024,
      swapTotalBytes: 2_048_000 * 1024,
      swapUsedBytes: 48_000 * 1024,
    })
  })

  it('estimates what old kernels do not tell, and never more than there is', () => {
    expect(parseMemInfo('MemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 20 kB\nCached: 300 kB\n').availableBytes).toBe(
      420 * 1024,
    )
    expect(parseMemInfo('MemTotal: 1000 kB\nMemAvailable: 2000 kB\n').usedBytes).toBe(0)
  })

  it('survives an empty text', () => {
    expect(parseMemInfo('').totalBytes).toBe(0)
  })
})

describe('parseOsRelease', () => {
  it.for<[string, string, string, string]>([
    [
      'Debian',
      'NAME="Debian GNU/Linux"\nVERSION_ID="12"\nVERSION="12 (bookworm)"\n',
      'Debian GNU/Linux',
      '12 (bookworm)',
    ],
    ['Arch', 'NAME="Arch Linux"\nBUILD_ID=rolling\n', 'Arch Linux', 'rolling'],
    ['single quotes', "NAME='openEuler'\nVERSION_ID=24.03\n", 'openEuler', '24.03'],
    ['escapes and comments', '# x\nNAME="A \\"B\\" \\$C"\n', 'A "B" $C', ''],
    ['nothing', '', 'Linux', ''],
  ])('reads %s', ([, text, name, version]) => {
    expect(parseOsRelease(text)).toEqual({ name, version })
  })
})

describe('CPU usage', () => {
  const at = (text: string) => parseCpuTimes(`cpu  ${text}\ncpu0 1 1 1 1\n`)

  it('is busy time by all time, with waiting as idle and stolen time as busy', () => {
    //                       user nice sys idle iowait irq soft steal guest guest_nice
    const before = at('100 0 100 800 0 0 0 0 50 0')
    const after = at('120 5 110 880 20 3 2 10 60 0')
    expect(cpuUsagePercent(before, after)).toBeCloseTo((50 / 150) * 100)
  })

  it('stays within 0 and 100 when iowait runs backwards or nothing passed', () => {
    expect(cpuUsagePercent(at('10 0 0 100 50 0 0 0'), at('30 0 0 100 45 0 0 0'))).toBe(100)
    expect(cpuUsagePercent(at('10 0 0 100 0 0 0 0'), at('10 0 0 100 0 0 0 0'))).toBe(0)
    expect(parseCpuTimes('')).toEqual({ busy: 0, total: 0 })
  })
})

describe('parseLoadAverage', () => {
  it('reads the three averages', () => {
    expect(parseLoadAverage('0.52 1.08 2.00 3/1234 5678\n')).toEqual({ load1: 0.52, load5: 1.08, load15: 2 })
  })
})
