import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { AgentError } from '../../../src/core/errors.ts'
import { domainRef } from '../../../src/domains/libvirt-domain.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import { newDisk, vmRequest, within } from './agent-fixture.ts'
import { useAgent } from './use-agent.ts'

const missing = await requirePrerequisite('libvirt', missingLibvirt)

describe.skipIf(missing !== undefined)('a create that finds the disks of its VM', () => {
  let fails = false
  const agent = useAgent({
    afterStep: () => {
      if (fails) throw new AgentError('CONFLICT', 'a fault of this test')
    },
  })

  test('leaves them when it fails, and takes away what it has made itself', async () => {
    const [kept, made] = [newDisk({ id: 'kept' }), newDisk({ id: 'made' })]
    const request = vmRequest({}, { disks: [kept] })
    await agent.vms.create(request, within())
    // As of a VM that is defined on another host of a shared pool.
    await agent.client.call('remote:DOMAIN_UNDEFINE_FLAGS', { dom: domainRef(request.vmId), flags: 0 })
    const vms = path.join(agent.base, 'pool/vms')
    const [directory = ''] = await readdir(vms)
    const file = path.join(vms, directory, 'kept.qcow2')
    const before = await readFile(file)

    fails = true
    const both = { ...request, spec: { ...request.spec, disks: [kept, made] } }
    await expect(agent.vms.create(both, within())).rejects.toThrow('a fault of this test')
    expect(await readFile(file)).toEqual(before)
    expect((await readdir(path.join(vms, directory))).filter((name) => name.includes('made'))).toEqual([])

    fails = false
    expect(await agent.vms.create(both, within())).toMatchObject({ created: true })
    expect(await readFile(file)).toEqual(before)
  })
})
