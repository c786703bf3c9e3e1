import { isAgentError } from '../core/errors.ts'
import { abortable } from '../core/keyed-lock.ts'
import type { DomainEntry } from './domain-entry.ts'
import type { DomainInventory } from './inventory.ts'

/** What waiting for a domain needs of the inventory. */
export type WatchedDomains = Pick<DomainInventory, 'entry' | 'onChange'>

/**
 * Resolves when a domain is as wanted, or gone; rejects with the signal's reason. Looks whenever libvirt tells of a change, and after each reconnect; while there is no connection it
 * waits for it.
 */
export async function waitForDomain(
  inventory: WatchedDomains,
  vmId: string,
  isWanted: (entry: DomainEntry) => boolean,
  signal: AbortSignal,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const look = () => {
    inventory.entry(vmId, signal).then(
      (entry) => {
        if (isWanted(entry)) resolve()
      },
      (error: unknown) => {
        if (isAgentError(error, 'VM_NOT_FOUND')) resolve()
        else if (!isAgentError(error, 'LIBVIRT_UNAVAILABLE', 'LIBVIRT_OUTCOME_UNKNOWN')) reject(error)
      },
    )
  }
  const stop = inventory.onChange((changed) => {
    if (changed === vmId) look()
  })
  try {
    look()
    await abortable(promise, signal)
  } finally {
    stop()
  }
}
