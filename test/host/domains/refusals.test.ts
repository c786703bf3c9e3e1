import { execFile } from 'node:child_process'
import { symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, test } from 'vitest'
import { MIB } from '../../../src/core/bytes.ts'
import type { AgentError } from '../../../src/core/errors.ts'
import type { CreateVmRequest } from '../../../src/core/model.ts'
import type { Reason } from '../../../src/core/reasons.ts'
import { wireText } from '../../../src/core/wire-text.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import { newDisk, vmFiles, vmRequest, within } from './agent-fixture.ts'
import { makeBootImage } from './boot-sector.ts'
import { useAgent } from './use-agent.ts'

const run = promisify(execFile)
const missing = await requirePrerequisite('libvirt', missingLibvirt)

describe.skipIf(missing !== undefined)('a request that cannot be fulfilled is refused and leaves nothing', () => {
  const agent = useAgent()
  let image: (name: string) => string
  beforeAll(async () => {
    image = (name) => path.join(agent.base, 'images', name)
    await makeBootImage(image('good.qcow2'), 'ignores')
    await writeFile(image('page.qcow2'), '<html>404</html>'.repeat(100))
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', '/etc/passwd', '-F', 'raw', image('evil.qcow2'), '1M'])
    await run('qemu-img', ['create', '-q', '-f', 'vmdk', image('other.vmdk'), '1M'])
    await makeBootImage(image('changed.qcow2'), 'ignores')
    await writeFile(
      path.join(agent.base, 'images/.changed.qcow2.lqx.json'),
      JSON.stringify({ version: 1, digests: {}, sizeBytes: 1, mtimeMs: 1 }),
    )
    await symlink('/etc/passwd', image('link.iso'))
    await symlink('/etc', image('link'))
    await agent.vms.create(vmRequest({ name: 'taken' }), within())
  })

  const backedBy = (backingFile: string) =>
    vmRequest({}, { disks: [newDisk({ id: 'first' }), newDisk({ backingFile })] })
  const cloudInit = (userData: string) => ({ userData, metaData: '', networkConfig: '', vendorData: '' })
  const nic = { id: '', macAddress: '', bridge: '', network: '', model: 'virtio' as const }

  const table: readonly (readonly [string, Reason, () => CreateVmRequest])[] = [
    ['a missing backing image', 'BACKING_FILE_MISSING', () => backedBy(image('missing.qcow2'))],
    ['a web page as backing image', 'BACKING_FILE_REFUSED', () => backedBy(image('page.qcow2'))],
    ['a backing image with a backing file', 'BACKING_FILE_REFUSED', () => backedBy(image('evil.qcow2'))],
    ['a backing image of another format', 'BACKING_FILE_REFUSED', () => backedBy(image('other.vmdk'))],
    ['a backing image that was changed since its download', 'IMAGE_CHANGED', () => backedBy(image('changed.qcow2'))],
    ['a backing image outside of all pools', 'BACKING_FILE_REFUSED', () => backedBy('/etc/passwd')],
    ['a backing image that is a link to the host', 'BACKING_FILE_REFUSED', () => backedBy(image('link/passwd'))],
    [
      'an ISO that is a link to the host',
      'INVALID_PATH',
      () => vmRequest({}, { cdroms: [{ id: '', isoPath: image('link.iso'), bootable: false }] }),
    ],
    [
      'a disk whose chain leaves the pools',
      'BACKING_FILE_REFUSED',
      () => vmRequest({}, { disks: [newDisk({ path: image('evil.qcow2'), sizeBytes: 0 })] }),
    ],
    [
      'a disk path outside of all pools',
      'INVALID_PATH',
      () => vmRequest({}, { disks: [newDisk({ path: '/etc/shadow', sizeBytes: 0 })] }),
    ],
    [
      'a disk path with ..',
      'INVALID_PATH',
      () => vmRequest({}, { disks: [newDisk({ path: '/pool/../etc/shadow', sizeBytes: 0 })] }),
    ],
    [
      'a volume that is missing',
      'VOLUME_NOT_FOUND',
      () => vmRequest({}, { disks: [newDisk({ path: 'some-volume' })] }),
    ],
    ['an unknown pool', 'POOL_NOT_FOUND', () => vmRequest({}, { disks: [newDisk({ poolId: 'nowhere' })] })],
    ['a disk id that is a path', 'INVALID_NAME', () => vmRequest({}, { disks: [newDisk({ id: '../../x' })] })],
    ['two disks with one id', 'VM_SPEC_INVALID', () => vmRequest({}, { disks: [newDisk(), newDisk()] })],
    ['a disk without a size', 'VM_SPEC_INVALID', () => vmRequest({}, { disks: [newDisk({ sizeBytes: 0 })] })],
    ['no memory', 'VM_SPEC_INVALID', () => vmRequest({}, { memoryBytes: 0 })],
    ['no CPU', 'VM_SPEC_INVALID', () => vmRequest({}, { cpuCores: 0 })],
    ['more CPUs than QEMU can do', 'VM_SPEC_INVALID', () => vmRequest({}, { cpuCores: 1000 })],
    [
      'a multicast MAC address',
      'VM_SPEC_INVALID',
      () => vmRequest({}, { nics: [{ ...nic, macAddress: '01:00:5e:00:00:01' }] }),
    ],
    ['an unknown network', 'NETWORK_UNKNOWN', () => vmRequest({}, { nics: [{ ...nic, network: 'dmz' }] })],
    ['an unknown bridge', 'NETWORK_UNKNOWN', () => vmRequest({}, { nics: [{ ...nic, bridge: 'nobridge0' }] })],
    ['an interface that is no bridge', 'NETWORK_UNKNOWN', () => vmRequest({}, { nics: [{ ...nic, bridge: 'lo' }] })],
    ['a bridge that climbs', 'NETWORK_UNKNOWN', () => vmRequest({}, { nics: [{ ...nic, bridge: '..' }] })],
    [
      'a missing ISO',
      'FILE_NOT_FOUND',
      () => vmRequest({}, { cdroms: [{ id: '', isoPath: 'iso/none.iso', bootable: true }] }),
    ],
    [
      'an ISO path that climbs',
      'INVALID_PATH',
      () => vmRequest({}, { cdroms: [{ id: '', isoPath: '../../etc/passwd', bootable: true }] }),
    ],
    ['broken user-data', 'CLOUD_INIT_INVALID', () => vmRequest({}, { cloudInit: cloudInit('#cloud-config\na: [') })],
    ['a name in use', 'VM_NAME_TAKEN', () => vmRequest({ name: 'taken' })],
    ['an empty name', 'INVALID_NAME', () => vmRequest({ name: '' })],
    ['a name with ..', 'INVALID_NAME', () => vmRequest({ name: '../x' })],
    ['a name with NUL', 'INVALID_NAME', () => vmRequest({ name: 'a\0b' })],
    ['a name with a line break', 'INVALID_NAME', () => vmRequest({ name: 'a\nb' })],
    ['a name of 300 characters', 'INVALID_NAME', () => vmRequest({ name: 'a'.repeat(300) })],
    ['half a surrogate pair in a label', 'VM_SPEC_INVALID', () => vmRequest({ labels: { a: '\ud800' } })],
    ['an id that is no UUID', 'INVALID_REQUEST', () => vmRequest({ vmId: '../../etc' })],
  ]

  test.each(table)('%s', async (_, reason, make) => {
    const before = await vmFiles(agent)
    const vms = await agent.vms.list(within())
    const error = (await agent.vms.create(make(), within()).catch((e: unknown) => e)) as AgentError
    expect(error).toMatchObject({ name: 'AgentError', reason })
    if (reason !== 'POOL_NOT_FOUND') expect(wireText(error)).not.toMatch(/already|exists|not found/i)
    expect(await vmFiles(agent)).toEqual(before)
    expect((await agent.vms.list(within())).map((vm) => vm.vmId)).toEqual(vms.map((vm) => vm.vmId))
  })

  test('what a guest writes into its raw disk does not make it another format', async () => {
    const owner = vmRequest({}, { disks: [newDisk({ format: 'raw' })] })
    await agent.vms.create(owner, within())
    const [disk] = (await agent.vms.status(owner.vmId, within())).disks
    const secret = image('good.qcow2')
    const forged = image('forged.qcow2')
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', secret, '-F', 'qcow2', forged])
    await run('dd', [`if=${forged}`, `of=${disk?.path}`, 'conv=notrunc', 'status=none'])
    const other = vmRequest({}, { disks: [newDisk({ path: disk?.path ?? '', sizeBytes: 0 })] })
    await agent.vms.create(other, within())
    expect((await agent.vms.status(other.vmId, within())).disks).toMatchObject([{ format: 'raw', sizeBytes: 2 * MIB }])
    expect((await agent.inventory.entry(other.vmId, within())).facts.paths).toEqual([disk?.path])
    for (const { vmId } of [other, owner]) await agent.vms.delete(vmId, within())
  })

  test.each(['<a href="x">&\'', 'ünï 日本', '$(reboot) `x` %s', 'x'.repeat(128)])(
    'the odd name %j is fine',
    async (name) => {
      const request = vmRequest({ name }, { cloudInit: cloudInit('') })
      await agent.vms.create(request, within())
      await agent.vms.start(request.vmId, within())
      expect((await agent.vms.status(request.vmId, within())).name).toBe(name)
      await agent.vms.delete(request.vmId, within())
    },
  )
})
