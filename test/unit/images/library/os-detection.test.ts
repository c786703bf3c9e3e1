import { describe, expect, it } from 'vitest'
import { detectOs } from '../../../../src/images/library/os-detection.ts'
import { imageId, uuidV5 } from '../../../../src/images/library/image-ids.ts'

const of = (...texts: string[]) => {
  const { distribution, version, architecture, defaultUser } = detectOs(texts, false)
  return [distribution, version, architecture, defaultUser]
}

describe('an operating system by the names that speak of it', () => {
  it.each([
    ['debian-12.qcow2', ['debian', '12', '', 'debian']],
    ['debian-12-generic-amd64.qcow2', ['debian', '12', 'x86_64', 'debian']],
    ['debian-13-genericcloud-arm64-20260101-1234.qcow2', ['debian', '13', 'aarch64', 'debian']],
    ['trixie.raw', ['debian', '13', '', 'debian']],
    ['jammy-server-cloudimg-amd64.img', ['ubuntu', '22.04', 'x86_64', 'ubuntu']],
    ['ubuntu-24.04.2-live-server-amd64.iso', ['ubuntu', '24.04', 'x86_64', 'ubuntu']],
    ['Rocky-9-GenericCloud-Base.latest.x86_64.qcow2', ['rocky', '9', 'x86_64', 'rocky']],
    ['AlmaLinux-9-GenericCloud-latest.x86_64.qcow2', ['almalinux', '9', 'x86_64', 'almalinux']],
    ['CentOS-Stream-GenericCloud-9-latest.x86_64.qcow2', ['centos', '9', 'x86_64', 'cloud-user']],
    ['centos-stream-10.qcow2', ['centos', '10', '', 'cloud-user']],
    ['Fedora-Cloud-Base-Generic-43-1.6.x86_64.qcow2', ['fedora', '43', 'x86_64', 'fedora']],
    ['openSUSE-Leap-15.6.x86_64-NoCloud.qcow2', ['opensuse', '15.6', 'x86_64', 'root']],
    ['Windows_Server_2022.vhdx', ['windows', '2022', '', 'Administrator']],
    ['Win11_24H2_English_x64.iso', ['windows', '11', 'x86_64', 'Administrator']],
    ['FreeBSD-14.2-RELEASE-amd64.qcow2', ['freebsd', '14.2', 'x86_64', 'freebsd']],
    ['data.qcow2', ['', '', '', '']],
    ['architecture.qcow2', ['', '', '', '']],
  ])('%s', (name, expected) => {
    expect(of(name)).toEqual(expected)
  })

  it('asks the label and the origin where the name says nothing', () => {
    expect(of('disc.iso', 'Debian 12.5.0 amd64 n', '')).toEqual(['debian', '12.5', 'x86_64', 'debian'])
    expect(of('golden.qcow2', '', '/images/cloud/bookworm/latest/debian-12-generic-amd64.qcow2')).toEqual([
      'debian',
      '12',
      'x86_64',
      'debian',
    ])
    expect(detectOs(['virtio-win-0.1.266.iso', 'virtio-win-0.1.266'], true)).toMatchObject({
      family: 'other',
      distribution: 'virtio-win',
    })
  })

  it('says how machines get their configuration', () => {
    expect(detectOs(['debian-12.qcow2'], false).provisioning).toBe('cloud-init')
    expect(detectOs(['debian-12.iso'], true).provisioning).toBe('none')
    expect(detectOs(['fedora-coreos-42.qcow2'], false).provisioning).toBe('ignition')
    expect(detectOs(['x.qcow2'], false)).toMatchObject({ family: 'unknown', provisioning: 'unknown' })
  })
})

describe('ids of images', () => {
  it('are UUIDv5 in the namespace URL', () => {
    // The value that Python's uuid.uuid5(uuid.NAMESPACE_URL, ...) gives.
    expect(uuidV5('http://www.python.org/')).toBe('c2a8cbf8-d0f1-5ef4-9740-c3faec8ab1a0')
  })

  it('are those of the control plane for ISOs of pools, and differ between hosts for directories', () => {
    const place = { nodeId: 'n1', poolId: 'p1', path: 'iso/debian.iso' }
    expect(imageId(place)).toBe(uuidV5('pool://p1/iso/debian.iso'))
    expect(imageId({ ...place, nodeId: 'n2' })).toBe(imageId(place))
    const local = { nodeId: 'n1', poolId: '', path: '/srv/images/a.iso' }
    expect(imageId({ ...local, nodeId: 'n2' })).not.toBe(imageId(local))
  })
})
