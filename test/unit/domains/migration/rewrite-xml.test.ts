import { expect, test } from 'vitest'
import { rewriteForTarget } from '../../../../src/domains/migration/rewrite-xml.ts'

const XML = `<domain type='kvm'><name>a &amp; b</name><description>/old/vms/1/is text</description><devices>
  <disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none'/><source file='/pool-a/d.qcow2' index='1'/>
    <backingStore type='file'><format type='qcow2'/><source file='/pool-a/base.qcow2'/><backingStore/></backingStore>
    <target dev='vda' bus='virtio'/><serial>root</serial><alias name='virtio-disk0'/></disk>
  <disk type='file' device='cdrom'><source file='/old/vms/1/cloud-init.iso'/><target dev='sda' bus='sata'/><readonly/></disk>
  <disk type='block' device='disk'><source dev='/dev/vg/other'/><target dev='vdb' bus='virtio'/></disk>
  <serial type='pty'><log file='/old/vms/1/console.log' append='on'/></serial>
  <console type='pty'><log file='/old/vms/10/console.log'/></console>
</devices></domain>`

test('disks are where the target has them, own files in its directory, all else is as it was', () => {
  const xml = rewriteForTarget(XML, {
    directory: { from: '/old/vms/1', to: '/new/vms/1' },
    disks: new Map([['vda', [{ type: 'file', path: '/pool-b/d.qcow2', format: 'qcow2' }] as const]]),
  })
  expect(xml).toContain(`<source file="/pool-b/d.qcow2"`)
  expect(xml).not.toContain('/pool-a/')
  expect(xml).toContain('<serial>root</serial>')
  expect(xml).toContain('a &amp; b')
  expect(xml).toContain('/new/vms/1/cloud-init.iso')
  expect(xml).toContain('/new/vms/1/console.log')
  // Another VM's directory that begins alike.
  expect(xml).toContain('/old/vms/10/console.log')
  expect(xml).toContain('/dev/vg/other')
})
