import { describe, expect, it } from 'vitest'
import { mountOf, parseMountInfo } from '../../../src/platform/mounts.ts'

const TEXT = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:40 / /srv/nfs rw shared:2 - nfs4 10.0.0.5:/export/with\\040space rw,vers=4.1
31 22 0:41 /sub /srv/nfs/deep\\011tab rw - nfs 10.0.0.6:/x ro
32 22 0:42 / /srv/nfs rw - tmpfs tmpfs rw
broken line
`

describe('mountinfo', () => {
  const mounts = parseMountInfo(TEXT)

  it('decodes octal escapes and optional fields', () => {
    expect(mounts).toHaveLength(4)
    expect(mounts[1]).toMatchObject({
      mountId: 30,
      device: '0:40',
      fsType: 'nfs4',
      source: '10.0.0.5:/export/with space',
    })
    expect(mounts[2]).toMatchObject({ mountPoint: '/srv/nfs/deep\ttab', root: '/sub' })
  })

  it('finds the mount of a path: longest mount point, the upper one of two', () => {
    expect(mountOf(mounts, '/srv/nfs/x')?.mountId).toBe(32)
    expect(mountOf(mounts, '/srv/nfsx')?.mountId).toBe(22)
    expect(mountOf(mounts, '/srv/nfs/deep\ttab/y')?.mountId).toBe(31)
  })
})
