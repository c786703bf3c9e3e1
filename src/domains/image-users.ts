import { isAgentError } from '../core/errors.ts'
import type { OperationManager } from '../operations/manager.ts'
import { isFinal, type OperationRecord } from '../operations/operation.ts'
import type { SagaJournal } from '../operations/saga.ts'
import { CREATE_KIND } from './create.ts'
import type { CreateParams, CreateState } from './create-steps.ts'
import type { Domains } from './deps.ts'
import type { DomainEntry } from './domain-entry.ts'

/** Names of the VMs that refer to each place: disks, their backing images, ISOs; those that are being created too. Undefined while it cannot be told. */
export function usersByPlace(domains: Domains, operations: OperationManager): Map<string, string[]> | undefined {
  const entries = known(domains)
  // One that cannot be read may use anything.
  if (entries === undefined || entries.some(({ readable }) => !readable)) return undefined
  const users = new Map<string, string[]>()
  const add = (place: string, name: string) => {
    const names = users.get(place) ?? []
    if (!names.includes(name)) users.set(place, [...names, name])
  }
  for (const { facts } of entries) for (const place of facts.paths) add(place, `VM ${facts.name} (${facts.vmId})`)
  for (const { params, journal } of creations(operations)) {
    const { name, vmId } = params.request
    for (const place of journal?.state.uses ?? []) add(place, `the creation of VM ${name} (${vmId})`)
  }
  return users
}

/** Places that VMs, running or not, may write to. Undefined while it cannot be told. */
export function writtenPlaces(domains: Domains): Set<string> | undefined {
  const entries = known(domains)
  if (entries === undefined) return undefined
  return new Set(entries.flatMap(({ facts }) => facts.disks.filter((disk) => !disk.readonly).map(({ place }) => place)))
}

function known(domains: Domains): DomainEntry[] | undefined {
  try {
    return domains.entries()
  } catch (error) {
    if (isAgentError(error, 'LIBVIRT_UNAVAILABLE')) return undefined
    throw error
  }
}

function creations(operations: OperationManager) {
  return operations.list(CREATE_KIND).filter(({ state }) => !isFinal(state)) as OperationRecord<
    CreateParams,
    unknown,
    SagaJournal<CreateState>
  >[]
}
