import { mkdir, rm } from 'node:fs/promises'
import { writeFileAtomic } from '../platform/files.ts'
import type { StoragePaths } from './environment.ts'

/** A file with a secret for a tool of the host, mode 0600 in the private directory of the agent. Its path is no secret. */
export class SecretFile {
  readonly path: string
  readonly #directory: string

  /** `name` is unique per pool and purpose, so that what a killed agent left is replaced or removed the next time. */
  constructor({ secrets }: StoragePaths, name: string) {
    this.#directory = secrets
    this.path = `${secrets}/${name}`
  }

  /** Replaces the file as a whole. */
  async write(content: string | Uint8Array): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 })
    await writeFileAtomic(this.path, content)
  }

  /** Success when it is gone. */
  async remove(): Promise<void> {
    await rm(this.path, { force: true })
  }
}
