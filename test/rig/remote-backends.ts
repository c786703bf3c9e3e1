import { spawn } from 'node:child_process'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { silentLogger, type Logger, type OpContext } from '../../src/core/context.ts'
import { fromErrorRecord } from '../../src/core/errors.ts'
import type { DiskSource } from '../../src/core/model.ts'
import type { PoolBackend, PoolBackendFactory } from '../../src/storage/backend.ts'
import { StorageIo } from '../../src/storage/storage-io.ts'
import type { PoolFixture } from '../conformance/pool-backend.ts'
import type { VolumeBytes } from '../conformance/volume-bytes.ts'
import type { BackendFacts, FixtureFacts, Reply, Request } from './guest/protocol.ts'
import { installGuestProgram } from './guest-program.ts'
import type { Rig } from './rig.ts'
import { storageEnvironment } from '../support/storage-environment.ts'

/** Fixtures whose backends work on a host of the rig, where the kernel has the clients this machine lacks. */
export interface RemoteBackends {
  /** A fixture by its name in guest/backend-server.ts. */
  fixture(name: string, params: unknown): Promise<PoolFixture>
  close(): Promise<void>
}

const SCRIPT = path.join(import.meta.dirname, '..', '..', 'scripts', 'rig')

interface Pending {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
  readonly log: Logger
}

/** Bundles the guest's side, takes it there and starts it. */
export async function startRemoteBackends(rig: Rig): Promise<RemoteBackends> {
  const program = await installGuestProgram(rig, 'backend-server')
  const child = spawn(SCRIPT, ['ssh', rig.directory, '0', `exec node ${program}`], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const pending = new Map<number, Pending>()
  let lastId = 0
  let backends = 0
  createInterface({ input: child.stdout }).on('line', (line) => {
    const message = JSON.parse(line) as Reply
    const call = pending.get(message.id)
    if (call === undefined) return
    if ('log' in message) {
      const { level, fields, message: text } = message.log
      call.log[level as 'info'](fields, text)
      return
    }
    pending.delete(message.id)
    if ('error' in message) call.reject(fromErrorRecord(message.error))
    else call.resolve(message.value)
  })
  void exited.then(() => {
    for (const call of pending.values()) call.reject(new Error('the program in the guest ended'))
  })
  const send = (request: Request) => void child.stdin.write(`${JSON.stringify(request)}\n`)
  const call = async (request: object, ctx?: OpContext): Promise<unknown> => {
    const id = ++lastId
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    pending.set(id, { resolve, reject, log: ctx?.log ?? silentLogger })
    const onAbort = () => send({ cancel: id })
    ctx?.signal.addEventListener('abort', onAbort, { once: true })
    send({ ...request, id } as Request)
    try {
      return await promise
    } finally {
      ctx?.signal.removeEventListener('abort', onAbort)
    }
  }

  const backendOf = (facts: FixtureFacts, { config, mountPath, methods }: BackendFacts): PoolBackend => {
    const number = ++backends
    const { fixture, traits } = facts
    const members = methods.map((method): [string, unknown] => [
      method,
      async (...all: unknown[]) => {
        const ctx = all.find((arg): arg is OpContext => typeof arg === 'object' && arg !== null && 'signal' in arg)
        ctx?.signal.throwIfAborted()
        // JSON has no `undefined`: an argument that is not given is left out, and null stands for the context alone.
        const args = all.filter((arg) => arg !== undefined).map((arg) => (arg === ctx ? null : arg))
        return call({ fixture, backend: number, poolId: config.poolId, method, args }, ctx)
      },
    ])
    return { kind: config.kind, traits, config, mountPath, ...nested(members) } as PoolBackend
  }
  const bytesOf = (fixture: number): VolumeBytes => {
    const ask = (ctx: OpContext, ...args: unknown[]) => call({ fixture, method: 'bytes', args }, ctx)
    return {
      write: async (source, block, value, ctx) => void (await ask(ctx, 'write', source, block, value)),
      read: async (source, count, ctx) => (await ask(ctx, 'read', source, count)) as number[],
      image: async (format, value, ctx) => (await ask(ctx, 'image', format, value)) as DiskSource,
      // They go with the fixture.
      close: () => Promise.resolve(),
    }
  }

  return {
    async fixture(name, params) {
      const facts = (await call({ open: name, params })) as FixtureFacts
      const { fixture, traits, config, rival, secrets } = facts
      const factory: PoolBackendFactory = {
        kind: config.config.kind,
        traits,
        create: ({ poolId }) => backendOf(facts, poolId === rival.config.poolId ? rival : config),
      }
      const ask = (method: string, ...args: unknown[]) => call({ fixture, method, args })
      const io = new StorageIo(silentLogger)
      return {
        factory,
        environment: storageEnvironment('/nowhere', { io }),
        config: config.config,
        rival: rival.config,
        secrets,
        bytes: bytesOf(fixture),
        contents: async () => (await ask('contents')) as string[],
        plantForeign: async (volume) => void (await ask('plantForeign', volume)),
        takeAway: async () => void (await ask('takeAway')),
        giveBack: async () => void (await ask('giveBack')),
        async stall() {
          await ask('stall')
          return {
            reached: ask('stallReached').then(() => undefined),
            end: async () => void (await ask('stallEnd')),
          }
        },
        async close() {
          io.close()
          await ask('close')
        },
      }
    },
    async close() {
      child.stdin.end()
      await exited
    },
  }
}

/** `['a.b', f]` as `{ a: { b: f } }`. */
function nested(members: readonly (readonly [string, unknown])[]): object {
  const made: Record<string, unknown> = {}
  for (const [name, value] of members) {
    const [first = '', second] = name.split('.')
    made[first] = second === undefined ? value : { ...(made[first] as object | undefined), [second]: value }
  }
  return made
}
