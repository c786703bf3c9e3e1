import { randomUUID } from 'node:crypto'
import { afterEach, describe, expect, test } from 'vitest'
import { MIB } from '../../src/core/bytes.ts'
import { requirePrerequisite } from '../host/require.ts'
import { until } from '../support/until.ts'
import { quote } from './rig.ts'
import { agentService } from './service.ts'
import { missingRig, useRig } from './use-rig.ts'

const DISK = '/dev/disk/by-id/virtio-data1'
const KILLER = '/usr/local/sbin/lvm'
const OTHER = '/dev/disk/by-id/virtio-data2'

// The host has no tool that makes partition tables. One Linux partition of 512 MiB behind the first megabyte.
const DOS_TABLE = `
import struct, sys
entry = struct.pack('<BBBBBBBBII', 0, 0, 2, 0, 0x83, 0, 0, 0, 2048, 1048576)
with open(sys.argv[1], 'r+b') as disk:
    disk.write(bytes(446) + entry + bytes(48) + b'\\x55\\xaa')
`
// An empty table: protective MBR and the header at the front (UEFI 2.10, 5.3).
const GPT_TABLE = `
import os, struct, sys, zlib
with open(sys.argv[1], 'r+b') as disk:
    last = disk.seek(0, os.SEEK_END) // 512 - 1
    entries = bytes(128 * 128)
    def header(crc):
        return struct.pack('<8sIIIIQQQQ16sQIII', b'EFI PART', 0x10000, 92, crc, 0, 1, last, 34, last - 33, b'limiquantix-test', 2, 128, 128, zlib.crc32(entries))
    disk.seek(0)
    disk.write(bytes(446) + struct.pack('<BBBBBBBBII', 0, 0, 2, 0, 0xee, 0, 0, 0, 1, last) + bytes(48) + b'\\x55\\xaa')
    disk.write(header(zlib.crc32(header(0))).ljust(512, b'\\0'))
    disk.write(entries)
`

interface Body {
  readonly error?: string
  readonly message?: string
  readonly health?: string
  readonly healthReason?: string
  readonly jobId?: string
  readonly status?: string
  readonly targetPath?: string
}

describe.skipIf(await requirePrerequisite('rig', missingRig))('LVM pools of the packaged agent', () => {
  const rig = useRig()
  const service = agentService(rig)

  const call = (method: string, url: string, body?: object) => rig.http<Body>(method, url, body)
  const init = (poolId: string, options: object) =>
    call('POST', '/api/v1/storage/pools', { poolId, type: 'LOCAL_LVM', options })
  const health = async (poolId: string) => (await call('GET', `/api/v1/storage/pools/${poolId}`)).body.health
  const signatures = async (disk: string) => (await rig.exec(`wipefs --no-act --noheadings ${disk}`)).trim()
  const wiped = (disk: string) =>
    rig.exec(
      `d=$(readlink -f ${disk}); for vg in $(pvs --noheadings -o vg_name $d 2>/dev/null); do vgremove -ff -y $vg; done; wipefs --all --quiet $d`,
    )

  afterEach(async () => {
    await wiped(DISK)
    await wiped(OTHER)
  })

  test('makes a pool on a blank disk, keeps it through a kill and a deactivation by hand, and leaves the disk blank', async () => {
    const poolId = randomUUID()
    const options = { devices: [DISK] }
    expect(await init(poolId, options)).toMatchObject({ status: 200, body: { health: 'HEALTHY' } })
    expect((await rig.exec('vgs --noheadings -o vg_name')).trim()).toBe(`vg_${poolId}`)
    expect(await init(poolId, options)).toMatchObject({ status: 200 })

    for (const lost of ['', 'rm -r /var/lib/limiquantix/store/pools && ']) {
      const former = (await service.properties('MainPID')).MainPID
      await rig.exec(`${lost}kill -KILL ${former}`)
      await service.restarted(former)
      await until(async () => (await health(poolId)) === 'HEALTHY', 120_000)
    }
    // The records were lost, so what is known of the pool is what was found on its disk.
    const { pools } = (await rig.http<{ pools: { poolId: string }[] }>('GET', '/api/v1/storage/pools')).body
    expect(pools.map((pool) => pool.poolId)).toContain(poolId)
    expect(await init(poolId, options)).toMatchObject({ status: 200 })

    await rig.exec(`vgchange -an vg_${poolId}`)
    const active = async () => (await rig.exec(`lvs --noheadings -o lv_active vg_${poolId}`)).trim() === 'active'
    await until(active, 120_000)
    await until(async () => (await health(poolId)) === 'HEALTHY', 120_000)

    expect(await call('DELETE', `/api/v1/storage/pools/${poolId}`)).toMatchObject({ status: 204 })
    expect(await signatures(DISK)).toBe('')
    expect(await rig.exec('dmsetup ls')).toContain('No devices found')
  })

  test.each([
    ['ext4', `mkfs.ext4 -q -F ${OTHER}`],
    ['dos', `python3 -c ${quote(DOS_TABLE)} ${OTHER}`],
    ['gpt', `python3 -c ${quote(GPT_TABLE)} ${OTHER}`],
    ['volume group other', `vgcreate other ${OTHER}`],
    ['LVM2_member', `pvcreate ${OTHER}`],
    ['swap', `mkswap ${OTHER}`],
    [
      'crypto_LUKS',
      `printf 'LUKS\\272\\276\\000\\001aes' | dd of=$(readlink -f ${OTHER}) conv=notrunc,fsync status=none`,
    ],
  ])('refuses a disk with %s, and leaves every byte of it', async (what, prepare) => {
    await rig.exec(prepare)
    const digest = () => rig.exec(`d=$(readlink -f ${OTHER}); head -c 16M $d | sha256sum; tail -c 16M $d | sha256sum`)
    const before = await digest()
    const { status, body } = await init(randomUUID(), { devices: [OTHER] })
    expect(body).toMatchObject({ error: 'pool_data_foreign', message: expect.stringContaining(what) as string })
    expect(status).toBe(409)
    expect(await digest()).toBe(before)
  })

  test('an initialisation that is killed anywhere is taken up by the next one', { timeout: 400_000 }, async () => {
    const poolId = randomUUID()
    const options = { devices: [OTHER] }
    // Stands in front of the real one on the unit's PATH. The whole unit dies at once, with the command in the middle of its work.
    await rig.write(
      KILLER,
      `#!/bin/sh\n[ "$1" = "$(cat /run/kill-at 2>/dev/null)" ] || exec /usr/sbin/lvm "$@"\nrm /run/kill-at\n` +
        `/usr/sbin/lvm "$@" &\nsleep 0.3\nexec systemctl kill --signal=KILL limiquantix-node\n`,
      '0755',
    )
    try {
      for (const step of ['pvcreate', 'vgcreate', 'lvcreate', 'vgchange']) {
        const former = (await service.properties('MainPID')).MainPID
        await rig.write('/run/kill-at', step)
        expect(await init(poolId, options).catch((error: unknown) => String(error))).toMatch(/socket hang up|ECONN/)
        await service.restarted(former)
      }
    } finally {
      await rig.exec(`rm -f ${KILLER} /run/kill-at`)
    }
    expect(await init(poolId, options)).toMatchObject({ status: 200, body: { health: 'HEALTHY' } })
    const left = (await rig.exec(`lvs --noheadings -o lv_name vg_${poolId}`)).trim()
    expect(left).toBe(`thin_${poolId}`)
    expect(await call('DELETE', `/api/v1/storage/pools/${poolId}`)).toMatchObject({ status: 204 })
    expect(await signatures(OTHER)).toBe('')
  })

  test('in a volume group of the admin: uses its free space only, fails writes when that is full, and leaves the rest as it was', async () => {
    const poolId = randomUUID()
    await rig.exec(`vgcreate small ${OTHER} && lvcreate -y -l 999 -n filler small`)
    expect(await init(poolId, { volumeGroup: 'small' })).toMatchObject({ status: 200, body: { health: 'HEALTHY' } })
    const disk = { volumeId: 'disk', sizeBytes: 128 * MIB, format: 'raw' }
    const made = await call('POST', `/api/v1/storage/pools/${poolId}/volumes`, disk)
    expect(made).toMatchObject({ status: 200, body: { path: '/dev/small/disk' } })

    // At once, not after a minute in which the guest hangs.
    const full = await rig.tryExec('timeout 50 dd if=/dev/zero of=/dev/small/disk bs=1M oflag=direct')
    expect(full).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/No space left|Input\/output error/) as string,
    })
    const reason = async () => (await call('GET', `/api/v1/storage/pools/${poolId}`)).body.healthReason
    await until(async () => (await reason()) === 'POOL_FULL', 60_000)
    expect((await call('DELETE', `/api/v1/storage/pools/${poolId}/volumes/disk`)).status).toBe(204)
    await until(async () => (await reason()) === 'OK', 60_000)

    expect(await call('DELETE', `/api/v1/storage/pools/${poolId}`)).toMatchObject({ status: 204 })
    expect((await rig.exec('lvs --noheadings -o lv_name,vg_tags,lv_active small')).trim()).toMatch(/^filler +active$/)
  })

  test('an image that is being written when the agent is killed leaves nothing, and comes whole the next time', async () => {
    const poolId = randomUUID()
    expect(await init(poolId, { devices: [DISK] })).toMatchObject({ status: 200 })
    await rig.exec(
      'mkdir /srv/lvm-image && cd /srv/lvm-image && head -c 32M /dev/urandom > image.raw && qemu-img convert -f raw -O qcow2 image.raw image.qcow2 && ' +
        'systemd-run --quiet --collect --unit=lvm-image python3 -m http.server --directory /srv/lvm-image --bind 10.99.0.2 8099',
    )
    const url = 'http://10.99.0.2:8099/image.qcow2'
    const download = () =>
      call('POST', '/api/v1/images/download', {
        imageId: 'lvm-image',
        catalogId: 'lvm-image',
        url,
        poolId,
        targetDir: `/var/lib/limiquantix/pools/${poolId}/images/cloud-images`,
      })
    const volumes = async () => (await rig.exec(`lvs --noheadings -o lv_name vg_${poolId}`)).trim().split(/\s+/)

    const former = (await service.properties('MainPID')).MainPID
    expect(await download()).toMatchObject({ status: 200 })
    await rig.exec(
      `until pkill -STOP -f '[q]emu-img convert'; do read -t 0.01 < <(:); done; systemctl kill --signal=KILL limiquantix-node`,
      { timeoutMs: 120_000 },
    )
    await service.restarted(former)
    await until(async () => (await health(poolId)) === 'HEALTHY', 120_000)
    expect((await service.journal()).join('\n')).toContain('removing what was left unfinished')

    const { body } = await download()
    const job = await until(async () => {
      const { body: now } = await call('GET', `/api/v1/images/download/${body.jobId}`)
      return /completed|failed/.test(now.status ?? '') && now
    }, 120_000)
    expect(job).toMatchObject({ status: 'completed' })
    const volume = (await volumes()).filter((name) => name !== `thin_${poolId}`)
    expect(volume).toEqual(['cloud-images+lvm-image'])
    await rig.exec(`cmp -n ${32 * MIB} /dev/vg_${poolId}/${volume[0]} /srv/lvm-image/image.raw`)
    await rig.exec('systemctl stop lvm-image; rm -r /srv/lvm-image')
    const made = `/api/v1/storage/pools/${poolId}/volumes/cloud-images%2Flvm-image`
    expect(await call('DELETE', made)).toMatchObject({ status: 204 })
    expect(await call('DELETE', `/api/v1/storage/pools/${poolId}`)).toMatchObject({ status: 204 })
    expect(await signatures(DISK)).toBe('')
  })

  test('a disk that is not there is named', async () => {
    const { body } = await init(randomUUID(), { devices: ['/dev/disk/by-id/none'] })
    expect(body).toMatchObject({ error: 'device_missing', message: expect.stringContaining('by-id/none') as string })
  })
})
