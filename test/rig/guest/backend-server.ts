/** Runs in the guest: fixtures of the conformance suite, driven over stdin and stdout by the suite outside (../remote-backends.ts). Bundled into one file. */
import { createInterface } from 'node:readline'
import { startWorker } from '../../../src/app/worker-entry.ts'
import type { Logger, OpContext } from '../../../src/core/context.ts'
import { AgentError, toErrorRecord } from '../../../src/core/errors.ts'
import type { PoolConfig } from '../../../src/core/model.ts'
import type { PoolBackend } from '../../../src/storage/backend.ts'
import type { PoolFixture, Stall } from '../../conformance/pool-backend.ts'
import { nfsFixture } from './nfs-fixture.ts'
import type { BackendFacts, FixtureFacts, Reply, Request } from './protocol.ts'

/** Every kind of fixture: one line each. Parameters come from the test outside. */
const FIXTURES: Readonly<Record<string, (params: never) => Promise<PoolFixture>>> = {
  nfs: nfsFixture,
}

interface Opened {
  readonly fixture: PoolFixture
  readonly backends: Map<number, PoolBackend>
  stall?: Stall
}

const opened = new Map<number, Opened>()
const running = new Map<number, AbortController>()
let fixtures = 0

async function answer(request: Exclude<Request, { cancel: number }>, ctx: OpContext): Promise<unknown> {
  if ('open' in request) return open(request.open, request.params)
  const entry = opened.get(request.fixture)
  if (entry === undefined) throw new Error(`no fixture ${request.fixture}`)
  if ('backend' in request) {
    const { backend: number, poolId, method, args } = request
    const { fixture, backends } = entry
    const backend = backends.get(number) ?? fixture.factory.create(configOf(fixture, poolId))
    backends.set(number, backend)
    // The context stands right after the arguments the contract requires; what follows it is optional.
    const given = [...args]
    given.splice(given.indexOf(null), 1, ctx)
    return (backend as unknown as Record<string, (...all: unknown[]) => unknown>)[method]?.(...given)
  }
  return fixtureCall(entry, request.fixture, request.method, request.args)
}

async function open(name: string, params: unknown): Promise<FixtureFacts> {
  const make = FIXTURES[name]
  if (make === undefined) throw new Error(`no kind of fixture ${name}`)
  const fixture = await make(params as never)
  const number = ++fixtures
  opened.set(number, { fixture, backends: new Map() })
  const { factory, config, rival, secrets } = fixture
  return {
    fixture: number,
    traits: factory.traits,
    config: factsOf(factory.create(config)),
    rival: factsOf(factory.create(rival)),
    secrets,
  }
}

async function fixtureCall(entry: Opened, number: number, method: string, args: readonly unknown[]): Promise<unknown> {
  const { fixture } = entry
  switch (method) {
    case 'contents':
      return fixture.contents()
    case 'plantForeign':
      return fixture.plantForeign(String(args[0]))
    case 'takeAway':
      return fixture.takeAway()
    case 'giveBack':
      return fixture.giveBack()
    case 'stall':
      entry.stall = await fixture.stall()
      return undefined
    case 'stallReached':
      return entry.stall?.reached
    case 'stallEnd':
      return entry.stall?.end()
    default:
      opened.delete(number)
      return fixture.close()
  }
}

function configOf({ config, rival }: PoolFixture, poolId: string): PoolConfig {
  return poolId === rival.poolId ? rival : config
}

function factsOf(backend: PoolBackend): BackendFacts {
  const methods = Object.entries(backend).flatMap(([key, value]) => (typeof value === 'function' ? [key] : []))
  return { config: backend.config, mountPath: backend.mountPath, methods }
}

function reply(message: Reply): void {
  process.stdout.write(`${JSON.stringify(message)}\n`)
}

function loggerFor(id: number): Logger {
  const at = (level: string) => (fields: object, message?: string) =>
    reply({ id, log: { level, fields, ...(message === undefined ? {} : { message }) } })
  const log: Logger = {
    trace: at('trace'),
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: () => log,
  }
  return log
}

async function handle(line: string): Promise<void> {
  const request = JSON.parse(line) as Request
  if ('cancel' in request) {
    running.get(request.cancel)?.abort(new AgentError('CANCELLED', 'the test gave up'))
    return
  }
  const controller = new AbortController()
  running.set(request.id, controller)
  try {
    const value = await answer(request, { signal: controller.signal, log: loggerFor(request.id) })
    reply({ id: request.id, value })
  } catch (error) {
    reply({ id: request.id, error: toErrorRecord(error) })
  } finally {
    running.delete(request.id)
  }
}

if (process.argv[2] === 'worker') {
  await startWorker(process.argv[3] ?? '')
} else {
  const lines = createInterface({ input: process.stdin })
  lines.on('line', (line) => void handle(line))
  // Whoever drives it is gone; what a test left mounted goes with it.
  lines.on('close', () => {
    void Promise.allSettled([...opened.values()].map(({ fixture }) => fixture.close())).then(() => process.exit(0))
  })
}
