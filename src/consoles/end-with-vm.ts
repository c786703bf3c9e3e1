import { isAgentError } from '../core/errors.ts'
import type { DomainInventory } from '../domains/inventory.ts'
import { isOff } from '../domains/libvirt-domain.ts'

/** Console connections, by VM. */
export interface ConsolesByVm {
  vms(): ReadonlySet<string>
  closeOf(vmId: string): void
}

const LOOK_MS = 10_000

/** Ends the console connections of VMs that stop: QEMU's own end closes what is connected, this is for those who would connect later. Returns how to stop that. */
export function endConsolesWithVm(
  consoles: ConsolesByVm,
  inventory: Pick<DomainInventory, 'entry' | 'onChange'>,
): () => void {
  return inventory.onChange((vmId) => {
    if (!consoles.vms().has(vmId)) return
    inventory.entry(vmId, AbortSignal.timeout(LOOK_MS)).then(
      ({ state }) => {
        if (isOff(state)) consoles.closeOf(vmId)
      },
      (error: unknown) => {
        // Without libvirt nobody knows, and the guest goes on.
        if (isAgentError(error, 'VM_NOT_FOUND')) consoles.closeOf(vmId)
      },
    )
  })
}
