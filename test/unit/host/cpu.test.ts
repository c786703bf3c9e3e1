import { describe, expect, it } from 'vitest'
import { countTopology, parseCpuInfo, parseCpuList, readCpu } from '../../../src/host/cpu.ts'
import { withTree } from './tree.ts'

const x86 = (cpu: number, physicalId: number, coreId: number, mhz: string) => `processor\t: ${cpu}
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz
cpu MHz\t\t: ${mhz}
physical id\t: ${physicalId}
core id\t\t: ${coreId}
flags\t\t: fpu vmx aes
power management:
`

const ARM = `processor\t: 0
BogoMIPS\t: 50.00
Features\t: fp asimd aes
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x3
CPU part\t: 0xd0c
CPU revision\t: 1

processor\t: 1
BogoMIPS\t: 50.00
Features\t: fp asimd aes
CPU implementer\t: 0x41
CPU part\t: 0xd0c
`

const POWER = `processor\t: 0
cpu\t\t: POWER9, altivec supported
clock\t\t: 2300.000000MHz
revision\t: 2.2 (pvr 004e 1202)

timebase\t: 512000000
platform\t: PowerNV
`

describe('parseCpuInfo', () => {
  it('reads two sockets of two cores with two threads', () => {
    const info = parseCpuInfo(
      [0, 1, 2, 3, 4, 5, 6, 7].map((cpu) => x86(cpu, cpu >> 2, (cpu >> 1) & 1, `2${cpu}00.125`)).join('\n'),
    )
    expect(info).toMatchObject({
      model: 'Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz',
      vendor: 'GenuineIntel',
      features: ['fpu', 'vmx', 'aes'],
      frequencyMhz: 2700,
    })
    expect(countTopology(info.threads)).toEqual({ sockets: 2, coresPerSocket: 2, threadsPerCore: 2, totalThreads: 8 })
  })

  it('names arm64 servers, which only have numbers', () => {
    const info = parseCpuInfo(ARM)
    expect(info).toMatchObject({
      model: 'ARM Neoverse-N1',
      vendor: 'ARM',
      features: ['fp', 'asimd', 'aes'],
      frequencyMhz: 0,
    })
    expect(countTopology(info.threads)).toEqual({ sockets: 1, coresPerSocket: 2, threadsPerCore: 1, totalThreads: 2 })
    expect(parseCpuInfo('processor : 0\nCPU implementer : 0x99\nCPU part : 0xfff\n').model).toBe(
      'implementer 0x99 part 0xfff',
    )
  })

  it('reads POWER', () => {
    expect(parseCpuInfo(POWER)).toMatchObject({ model: 'POWER9, altivec supported', vendor: 'IBM', frequencyMhz: 2300 })
  })

  it('survives an empty text', () => {
    const info = parseCpuInfo('')
    expect(info).toEqual({ model: '', vendor: '', features: [], frequencyMhz: 0, threads: [] })
    expect(countTopology(info.threads)).toEqual({ sockets: 1, coresPerSocket: 1, threadsPerCore: 1, totalThreads: 1 })
  })
})

describe('countTopology', () => {
  it('rounds up where some cores have one thread and some two', () => {
    const threads = ['p0', 'p0', 'p1', 'p1', 'e0', 'e1', 'e2', 'e3'].map((coreId) => ({ packageId: '0', coreId }))
    expect(countTopology(threads)).toEqual({ sockets: 1, coresPerSocket: 6, threadsPerCore: 2, totalThreads: 8 })
  })
})

describe('parseCpuList', () => {
  it.for<[string, number[]]>([
    ['0', [0]],
    ['0-3', [0, 1, 2, 3]],
    ['0-1,4,6-7', [0, 1, 4, 6, 7]],
    ['', []],
  ])('expands %j', ([text, cpus]) => {
    expect(parseCpuList(text)).toEqual(cpus)
  })
})

describe('readCpu', () => {
  it('counts online threads by their siblings in sysfs and takes the highest frequency of the hardware', async () => {
    const cpu = (n: number, core: string) => ({
      [`sys/devices/system/cpu/cpu${n}/topology/physical_package_id`]: '0\n',
      [`sys/devices/system/cpu/cpu${n}/topology/core_cpus_list`]: `${core}\n`,
    })
    await withTree(
      {
        'proc/cpuinfo': x86(0, 0, 0, '800.000'),
        'sys/devices/system/cpu/online': '0-3\n',
        ...cpu(0, '0,2'),
        ...cpu(1, '1,3'),
        ...cpu(2, '0,2'),
        ...cpu(3, '1,3'),
        ...cpu(4, '4'),
        'sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq': '3200000\n',
      },
      async (root) => {
        expect(await readCpu(`${root}/proc`, `${root}/sys`, 'x86_64')).toMatchObject({
          sockets: 1,
          coresPerSocket: 2,
          threadsPerCore: 2,
          totalThreads: 4,
          frequencyMhz: 3200,
          architecture: 'x86_64',
        })
      },
    )
  })
})
