import type { AgentProcess } from '../../support/agent-process.ts'

/** What every section of the image benchmark is given. A section prints its own table, each figure beside its named peer from the same run. */
export interface ImageBench {
  /** A directory of the section alone, on a real disk, that downloads may go to; removed at the end. */
  readonly directory: string
  /** An agent of the section alone, without libvirt. */
  readonly agent: AgentProcess
  /** Of the disk image. */
  readonly sizeBytes: number
  readonly rounds: number
}

/** One part of `npm run bench:images`, by the name that selects it. */
export interface ImageSection {
  readonly name: string
  /** Why it cannot run here, or undefined. */
  readonly missing?: () => Promise<string | undefined>
  run(bench: ImageBench): Promise<void>
}
