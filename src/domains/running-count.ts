import type { DomainEntry } from './domain-entry.ts'
import type { DomainInventory } from './inventory.ts'

/** Counts the running VMs, from memory. While libvirt cannot tell, guests go on: the answer is then the last one there was, 0 before the first. */
export function runningCount(domains: Pick<DomainInventory, 'entries'>): () => number {
  let last = 0
  return () => {
    last = known(domains)?.filter(({ state }) => state === 'RUNNING').length ?? last
    return last
  }
}

function known(domains: Pick<DomainInventory, 'entries'>): readonly DomainEntry[] | undefined {
  try {
    return domains.entries()
  } catch {
    // LIBVIRT_UNAVAILABLE: said by HealthCheck and the log.
    return undefined
  }
}
