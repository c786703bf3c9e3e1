import { describe, expect, test } from 'vitest'
import { GIB, MIB } from '../../../src/core/bytes.ts'
import { AgentError } from '../../../src/core/errors.ts'
import type { CreateVmRequest, DiskSpec, VmSpec } from '../../../src/core/model.ts'
import { bootOrderOf } from '../../../src/domains/boot-order.ts'
import { derivedMac, diskVolumeName, parseVmName, safeName } from '../../../src/domains/names.ts'
import { cloudInitDigest, specDigest } from '../../../src/domains/spec-digest.ts'
import { checkRequest, topologyOf } from '../../../src/domains/vm-spec.ts'

const vmId = '6f0c1a52-0d0e-4a51-9a44-1f6a2a7c9b10'

function disk(part: Partial<DiskSpec> = {}): DiskSpec {
  return {
    id: '',
    path: '',
    sizeBytes: GIB,
    bus: 'virtio',
    format: 'qcow2',
    readonly: false,
    bootable: false,
    iopsLimit: 0,
    throughputMbps: 0,
    backingFile: '',
    poolId: '',
    ...part,
  }
}

function request(spec: Partial<VmSpec> = {}): CreateVmRequest {
  return {
    vmId,
    name: 'web',
    labels: {},
    spec: {
      cpuCores: 2,
      cpuSockets: 0,
      cpuThreadsPerCore: 0,
      memoryBytes: 256 * MIB,
      hugepages: false,
      firmware: 'bios',
      bootOrder: [],
      disks: [],
      nics: [],
      cdroms: [],
      guestOs: '',
      ...spec,
    },
  }
}

const nic = { id: '', macAddress: '', bridge: '', network: '', model: 'virtio' as const }
const cdrom = { id: '', isoPath: '', bootable: false }

describe('a request', () => {
  test('gets ids by position, and MAC addresses that stay the same', () => {
    const { spec } = checkRequest(request({ disks: [disk(), disk()], nics: [nic, nic], cdroms: [cdrom] }))
    expect(spec.disks.map(({ id }) => id)).toEqual(['disk0', 'disk1'])
    expect(spec.cdroms.map(({ id }) => id)).toEqual(['cdrom0'])
    expect(spec.nics.map(({ macAddress }) => macAddress)).toEqual([derivedMac(vmId, 'nic0'), derivedMac(vmId, 'nic1')])
    expect(spec.nics[0]?.macAddress).toMatch(/^52:54:00(:[0-9a-f]{2}){3}$/)
  })

  test('without NICs gets one on the default network', () => {
    expect(checkRequest(request()).spec.nics).toMatchObject([{ id: 'nic0', network: '', bridge: '' }])
  })

  test.each<[string, Partial<VmSpec>, string]>([
    ['a disk with path and backing file', { disks: [disk({ path: '/a', backingFile: '/b' })] }, 'exclude each other'],
    ['the id of the seed drive', { disks: [disk({ id: 'cloud-init' })] }, 'seed drive'],
    ['a disk and a CD-ROM with one id', { disks: [disk({ id: 'a' })], cdroms: [{ ...cdrom, id: 'a' }] }, 'given twice'],
    [
      'one MAC address twice',
      { nics: [1, 2].map((n) => ({ ...nic, id: `n${n}`, macAddress: '52:54:00:00:00:01' })) },
      'given twice',
    ],
    [
      'one file under two disks',
      { disks: [disk({ id: 'a', path: '/p/x.raw' }), disk({ id: 'b', path: '/p//x.raw' })] },
      'twice',
    ],
    ['a read-only SATA disk', { disks: [disk({ bus: 'sata', readonly: true })] }, 'read-only'],
    ['a fractional size', { disks: [disk({ sizeBytes: 1.5 })] }, 'size'],
    ['a hundred disks', { disks: Array.from({ length: 100 }, () => disk()) }, '64'],
    ['a bridge with a slash', { nics: [{ ...nic, bridge: '../x' }] }, 'network interface'],
  ])('with %s is refused', (_, spec, text) => {
    expect(() => checkRequest(request(spec))).toThrow(AgentError)
    expect(() => checkRequest(request(spec))).toThrow(text)
  })

  test.each([
    [
      { cpuCores: 4, cpuSockets: 2, cpuThreadsPerCore: 0 },
      { sockets: 2, cores: 2, threads: 1 },
    ],
    [
      { cpuCores: 8, cpuSockets: 2, cpuThreadsPerCore: 2 },
      { sockets: 2, cores: 2, threads: 2 },
    ],
    [
      { cpuCores: 3, cpuSockets: 2, cpuThreadsPerCore: 1 },
      { sockets: 1, cores: 3, threads: 1 },
    ],
    [
      { cpuCores: 1, cpuSockets: 4, cpuThreadsPerCore: 4 },
      { sockets: 1, cores: 1, threads: 1 },
    ],
  ])('%j has the topology %j: cores are the total', (cpu, topology) => {
    expect(topologyOf(request(cpu).spec)).toEqual(topology)
  })
})

describe('boot order', () => {
  const spec = request({
    disks: [disk({ id: 'root' }), disk({ id: 'data', bootable: true })],
    cdroms: [
      { id: 'tools', isoPath: '/t.iso', bootable: false },
      { id: 'install', isoPath: '/i.iso', bootable: true },
      { id: 'empty', isoPath: '', bootable: true },
    ],
    nics: [{ ...nic, id: 'n' }],
  }).spec

  test('is installer, disks as listed, other media, network', () => {
    expect(bootOrderOf(spec)).toEqual(['install', 'root', 'data', 'tools', 'nic:n'])
  })

  test('is what the request says when it says something', () => {
    expect(bootOrderOf({ ...spec, bootOrder: ['network', 'disk'] })).toEqual(['nic:n', 'root', 'data'])
  })
})

describe('names', () => {
  test.each([
    ['web-1.example', 'web-1.example'],
    ['a b/c', 'a_b_c'],
    ['../../etc', 'etc'],
    ['日本', 'vm'],
    ['__x..y__', 'x.y'],
    ['-rf', 'rf'],
    ['a'.repeat(80), 'a'.repeat(64)],
  ])('%j is %j in a path', (name, safe) => {
    expect(safeName(name)).toBe(safe)
  })

  test('a disk lives in a directory of its VM', () => {
    expect(diskVolumeName({ vmId, name: 'web 1' }, 'root')).toBe('vms/web_1_6f0c1a52/root')
  })

  test.each([
    '',
    ' a',
    'a\n',
    'a\u0085b',
    '.',
    '..',
    '-x',
    'a/b',
    '\ud800',
    '\ufffe',
    'ü'.repeat(129),
    '日'.repeat(90),
  ])('%j is refused as the name of a VM', (name) => {
    expect(() => parseVmName(name)).toThrow(AgentError)
  })

  test.each(['web', '<a href="x">&', "' or 1=1 --", '日本', '%s $(x)'])('%j is fine as the name of a VM', (name) => {
    expect(parseVmName(name)).toBe(name)
  })
})

describe('digest of a request', () => {
  test('does not depend on the order of keys, on defaults, or on cloud-init', () => {
    const one = request({ disks: [disk({ id: 'a' })] })
    const two = { labels: {}, name: 'web', vmId, spec: { ...one.spec, later: '', cloudInit: secrets } }
    expect(specDigest(two)).toBe(specDigest(one))
  })

  test('changes with anything that was asked for', () => {
    const digests = [
      request(),
      request({ memoryBytes: GIB }),
      request({ disks: [disk()] }),
      request({ disks: [disk({ readonly: true })] }),
      { ...request(), name: 'db' },
      { ...request(), labels: { a: 'b' } },
    ].map(specDigest)
    expect(new Set(digests).size).toBe(digests.length)
    expect(cloudInitDigest(secrets)).not.toBe(cloudInitDigest(undefined))
  })

  const secrets = { userData: 'x', metaData: '', networkConfig: '', vendorData: '' }
})
