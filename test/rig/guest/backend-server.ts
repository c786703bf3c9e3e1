/** Runs in the guest: fixtures of the conformance suite, driven over stdin and stdout by the suite outside (../remote-backends.ts). Bundled into one file. */
import { createInterface } from 'node:readline'
import { startWorker } from '../../../src/app/worker-entry.ts'
import type { Logger, OpContext } from '../../../src/core/context.ts'
import { AgentError, toErrorRecord } from '../../../src/core/errors.ts'
import type { PoolConfig } from '../../../src/core/model.ts'
import type { PoolBackend } from '../../../src/storage/backend.ts'
import type { PoolFixture, Stall } from '../../conformance/pool-backend.ts'
import { qemuVolumeBytes, type VolumeBytes } from '../../conformance/volume-bytes.ts'
import { runAtEnd } from './at-end.ts'
import { cephFsFixture } from './cephfs-fixture.ts'
import { iscsiFixture } from './iscsi-fixture.ts'
import { lvmFixture } from './lvm-fixture.ts'
import { nfsFixture } from './nfs-fixture.ts'
import type { BackendFacts, FixtureFacts, Reply, Request } from './protocol.ts'

/** Every kind of fixture: one line each. Parameters come from the test outside. */
const FIXTURES: Readonly<Record<string, (params: never) => Promise<PoolFixture>>> = {
  nfs: nfsFixture,
  lvm: lvmFixture,
  cephfs: cephFsFixture,
  iscsi: iscsiFixture,
}

interface Opened {
  readonly fixture: PoolFixture
  readonly backends: Map<number, PoolBackend>
  readonly bytes: VolumeBytes
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
    if (given.includes(null)) given.splice(given.indexOf(null), 1, ctx)
    return callMember(backend, method, given)
  }
  if (request.method === 'bytes')
    return callMember(entry.bytes, String(request.args[0]), [...request.args.slice(1), ctx])
  return fixtureCall(entry, request.fixture, request.method, request.args)
}

/** Calls `a.b` of an object by that name. */
function callMember(target: object, name: string, args: readonly unknown[]): unknown {
  const [first = '', second] = name.split('.')
  const member = (target as Record<string, unknown>)[first]
  const holder = second === undefined ? target : (member as object)
  return (holder as Record<string, (...all: readonly unknown[]) => unknown>)[second ?? first]?.(...args)
}

async function open(name: string, params: unknown): Promise<FixtureFacts> {
  const make = FIXTURES[name]
  if (make === undefined) throw new Error(`no kind of fixture ${name}`)
  const fixture = await make(params as never)
  const number = ++fixtures
  opened.set(number, { fixture, backends: new Map(), bytes: fixture.bytes ?? qemuVolumeBytes() })
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
      await entry.bytes.close()
      return fixture.close()
  }
}

function configOf({ config, rival }: PoolFixture, poolId: string): PoolConfig {
  return poolId === rival.poolId ? rival : config
}

function factsOf(backend: PoolBackend): BackendFacts {
  return { config: backend.config, mountPath: backend.mountPath, methods: methodsOf(backend) }
}

function methodsOf({ snapshots, ...backend }: PoolBackend): string[] {
  const functions = (object: object): string[] => {
    const type = Object.getPrototypeOf(object) as object
    const names = [...Object.keys(object), ...(type === Object.prototype ? [] : Object.getOwnPropertyNames(type))]
    return names.filter(
      (name) => name !== 'constructor' && typeof (object as Record<string, unknown>)[name] === 'function',
    )
  }
  return [...functions(backend), ...functions(snapshots ?? {}).map((key) => `snapshots.${key}`)]
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
    void Promise.allSettled([...opened.values()].map(({ fixture }) => fixture.close()))
      .then(runAtEnd)
      .then(() => process.exit(0))
  })
}
