import { AgentError } from '../../../src/core/errors.ts'
import { MountQueue } from '../../../src/platform/mount-queue.ts'
import type { MountRequest, Mounter } from '../../../src/platform/mounter.ts'
import type { MountEntry } from '../../../src/platform/mounts.ts'

/** A host whose mounts are a list. Real mounts are the business of test/rig; here it is what a pool does with what a host answers. */
export function scriptedMounter(answer: (request: MountRequest) => Promise<void>, mounts: MountEntry[] = []) {
  const requests: MountRequest[] = []
  const unmounts: { target: string; force: boolean }[] = []
  const mounter: Mounter = {
    queue: new MountQueue(),
    list: () => Promise.resolve(mounts),
    entryAt: (target) => Promise.resolve(mounts.findLast(({ mountPoint }) => mountPoint === target)),
    async mount(request) {
      requests.push(request)
      await answer(request)
    },
    unmount(target, force) {
      unmounts.push({ target, force })
      mounts.splice(
        mounts.findLastIndex(({ mountPoint }) => mountPoint === target),
        1,
      )
      return Promise.resolve()
    },
  }
  return { mounter, requests, unmounts, mounts }
}

/** A mount(8) that fails with these words. */
export function failing(words: string): () => Promise<never> {
  return () => Promise.reject(new AgentError('COMMAND_FAILED', `mount ended with exit code 32: ${words}`))
}
