/** What every section of the benchmark of VMs is given. A section prints its own table, with a named peer from the same run where there is one. */
export interface DomainBench {
  /** A directory on a real disk that QEMU reaches; removed at the end. */
  readonly directory: string
  /** Socket of a libvirtd of this run alone. */
  readonly socket: string
  /** How many times each thing is measured. */
  readonly rounds: number
  /** Real guests, emulated, without an operating system. */
  readonly guests: number
}

/** One part of `npm run bench:domains`, by the name that selects it. */
export interface DomainSection {
  readonly name: string
  run(bench: DomainBench): Promise<void>
}

/** CPU time of this process in ms that `work` took, besides what it waited. */
export async function cpuMs(work: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage()
  await work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

/** Milliseconds that `work` takes. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now()
  await work()
  return performance.now() - started
}
