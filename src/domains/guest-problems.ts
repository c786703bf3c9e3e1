import type { VmProblem } from '../core/events.ts'

/** More than a VM has disks: kinds of trouble that are remembered of one. */
const MAX_PER_VM = 64

/** Trouble of running VMs, each kind of each disk once, with the number of times. */
export class GuestProblems {
  readonly #byVm = new Map<string, Map<string, VmProblem>>()

  add(vmId: string, seen: Pick<VmProblem, 'kind' | 'message' | 'disk'>, now = Date.now(), times = 1): void {
    const known = this.#byVm.get(vmId) ?? new Map<string, VmProblem>()
    this.#byVm.set(vmId, known)
    const key = `${seen.kind}\0${seen.disk}\0${seen.message}`
    const before = known.get(key)
    if (before === undefined && known.size >= MAX_PER_VM) return
    known.set(key, { ...seen, since: before?.since ?? now, lastAt: now, count: (before?.count ?? 0) + times })
  }

  of(vmId: string): readonly VmProblem[] {
    return [...(this.#byVm.get(vmId)?.values() ?? [])]
  }

  forget(vmId: string): void {
    this.#byVm.delete(vmId)
  }
}
