import { MIB } from '../../../src/core/bytes.ts'
import { domainRef } from '../../../src/domains/libvirt-domain.ts'
import { VIR_DOMAIN_XML } from '../../../src/libvirt/constants.ts'
import type { VmSpec } from '../../../src/core/model.ts'
import { until } from '../../support/until.ts'
import { newDisk, vmRequest, within, type AgentParts } from './agent-fixture.ts'

/** A VM of the agent that runs the kernel and the real guest agent of `makeTinyGuest`; returns when the agent answers. `edit` may change the definition before it starts. */
export async function startLinuxVm(
  agent: AgentParts,
  { kernel, initrd }: { kernel: string; initrd: string },
  spec: Partial<VmSpec> = {},
  edit: (xml: string) => string = (xml) => xml,
): Promise<string> {
  const request = vmRequest({}, { memoryBytes: 160 * MIB, disks: [newDisk()], ...spec })
  const { vmId } = request
  await agent.vms.create(request, within())
  const { xml } = await agent.client.call('remote:DOMAIN_GET_XML_DESC', {
    dom: domainRef(vmId),
    flags: VIR_DOMAIN_XML.INACTIVE,
  })
  const boot = `<kernel>${kernel}</kernel><initrd>${initrd}</initrd><cmdline>console=ttyS0 quiet panic=-1 rdinit=/real</cmdline>`
  const direct = xml.replace(/<boot order='\d+'\/>/g, '').replace('</os>', `${boot}</os>`)
  await agent.client.call('remote:DOMAIN_DEFINE_XML_FLAGS', { xml: edit(direct), flags: 0 })
  await agent.vms.start(vmId, within())
  await until(async () => (await agent.vms.guestPing(vmId, within())).available)
  return vmId
}
