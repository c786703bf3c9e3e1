import { AgentError } from '../core/errors.ts'
import { fromLibvirt } from '../libvirt/agent-errors.ts'
import { VIR_ERR } from '../libvirt/constants.ts'
import { isLibvirtError } from '../libvirt/errors.ts'

/** "VM not found" in the words that control planes look for; only for libvirt's own NO_DOMAIN. */
export function vmNotFound(vmId: string, cause?: unknown): AgentError {
  return new AgentError('VM_NOT_FOUND', `VM not found: ${vmId}`, { cause })
}

/** Whatever a libvirt call about a VM threw, as an AgentError: the one place where the domain layer translates. */
export function vmError(error: unknown, vmId: string): AgentError {
  if (error instanceof AgentError) return error
  if (isLibvirtError(error, VIR_ERR.NO_DOMAIN)) return vmNotFound(vmId, error)
  return fromLibvirt(error, `VM ${vmId}`)
}
