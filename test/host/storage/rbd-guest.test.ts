import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { MIB } from '../../../src/core/bytes.ts'
import { silentLogger, type OpContext } from '../../../src/core/context.ts'
import type { DiskSource } from '../../../src/core/model.ts'
import type { LibvirtClient } from '../../../src/libvirt/client.ts'
import { cephRbdPools } from '../../../src/storage/backends/ceph-rbd.ts'
import { createGuestSecrets } from '../../../src/storage/guest-secrets.ts'
import { until } from '../../support/until.ts'
import { missingCeph, startCeph, type CephCluster } from '../ceph.ts'
import { makeBootImage } from '../domains/boot-sector.ts'
import { libvirtDir, liveClient, removeGuest } from '../libvirt/live.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import { tempBase, tool } from './local-fixture.ts'
import { rbdFixture } from './rbd-fixture.ts'

const missing = missingLibvirt() ?? (await requirePrerequisite('ceph', missingCeph))

describe.skipIf(missing !== undefined)('keys of Ceph in a real libvirt', () => {
  let cluster: CephCluster
  let client: LibvirtClient
  let ctx: OpContext
  beforeAll(async () => {
    cluster = await startCeph(inject('cephDir'))
    client = await liveClient('qemu:///system')
  })
  afterAll(() => client.close())
  beforeEach(() => {
    ctx = { signal: AbortSignal.timeout(110_000), log: silentLogger }
  })

  const virsh = (...args: string[]) =>
    tool('virsh', '-q', '-c', `qemu+unix:///system?mode=legacy&socket=${libvirtDir}/run/libvirt-sock`, ...args)

  test('are put, changed and removed again by RPC, and another one under the UUID is left alone', async () => {
    const secrets = createGuestSecrets(client)
    const secret = {
      uuid: randomUUID(),
      usage: 'ceph',
      name: `test ${randomUUID()}`,
      value: Buffer.from('one'),
    } as const
    await secrets.put(secret, ctx)
    await secrets.put(secret, ctx)
    await secrets.put({ ...secret, value: Buffer.from('two') }, ctx)
    expect(await virsh('secret-list')).toMatch(new RegExp(`${secret.uuid}\\s+ceph ${secret.name}`))
    await expect(virsh('secret-get-value', secret.uuid)).rejects.toThrow(/private/)
    await expect(secrets.put({ ...secret, name: 'another' }, ctx)).rejects.toMatchObject({ reason: 'LIBVIRT_REFUSED' })
    await secrets.remove(secret.uuid, ctx)
    await secrets.remove(secret.uuid, ctx)
    expect(await virsh('secret-list')).not.toContain(secret.uuid)
  })

  test('let a guest boot from a volume, and go with the pool', async () => {
    const fixture = await rbdFixture(cluster)
    const base = await tempBase()
    await tool('chmod', '0777', base)
    const environment = { ...fixture.environment, guestSecrets: createGuestSecrets(client) }
    // Not in a namespace: the libvirt of Debian 12 does not hand one on to QEMU (docs/storage.md).
    const config = { ...fixture.configWith({ namespace: '' }), poolId: `pool-${randomUUID()}` }
    const backend = cephRbdPools(environment).create(config)
    try {
      await backend.activate({ mode: 'initialise' }, ctx)
      const image = `${base}/boot.qcow2`
      await makeBootImage(image, 'ignores')
      const source = { type: 'file', path: image, format: 'qcow2' } as const
      const spec = { name: `vms/${randomUUID()}/disk`, format: 'raw', sizeBytes: 8 * MIB, owner: 'vm:1' } as const
      await backend.createVolume({ ...spec, content: { type: 'copy', source } }, ctx)
      const disk = await backend.diskSource(spec.name, ctx)
      const xml = guestXml(disk, `${base}/serial.log`)
      const { dom } = await client.call('remote:DOMAIN_DEFINE_XML_FLAGS', { xml, flags: 0 })
      try {
        await client.call('remote:DOMAIN_CREATE_WITH_FLAGS', { dom, flags: 0 }, { timeoutMs: 60_000 })
        await until(
          async () => (await readFile(`${base}/serial.log`, 'latin1').catch(() => '')).includes('BOOTED'),
          60_000,
        )
        // Whoever asks at the cluster hears that it is open, on whatever host.
        await expect(backend.deleteVolume(spec.name, ctx)).rejects.toMatchObject({ reason: 'VOLUME_IN_USE' })
      } finally {
        await removeGuest(client, dom)
      }
      expect(await backend.deleteVolume(spec.name, ctx)).toBe('deleted')
      const uuid = disk.type === 'network' ? disk.secretUuid : ''
      expect(await virsh('secret-list')).toContain(uuid)
      await backend.deactivate(ctx)
      expect(await virsh('secret-list')).not.toContain(uuid)
    } finally {
      await cluster.admin('rados', '--pool', 'rbd', 'rm', 'limiquantix.pool')
      await fixture.close()
      await tool('rm', '-r', base)
    }
  })
})

function guestXml(disk: DiskSource, serial: string): string {
  if (disk.type !== 'network') throw new Error('not a network disk')
  const hosts = disk.monitors.map(({ host, port }) => `<host name='${host}' port='${port}'/>`).join('')
  return `<domain type='qemu'><name>rbd-${randomUUID().slice(0, 8)}</name><memory unit='MiB'>32</memory>
    <os><type arch='x86_64' machine='q35'>hvm</type><boot dev='hd'/></os><features><acpi/></features>
    <devices>
      <disk type='network' device='disk'><driver name='qemu' type='raw'/>
        <source protocol='rbd' name='${disk.name}'>${hosts}</source>
        <auth username='${disk.user}'><secret type='ceph' uuid='${disk.secretUuid}'/></auth>
        <target dev='vda' bus='virtio'/></disk>
      <serial type='file'><source path='${serial}'/></serial>
    </devices></domain>`
}
