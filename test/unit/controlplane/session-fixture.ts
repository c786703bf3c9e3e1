import { AssignedPools } from '../../../src/controlplane/assigned-pools.ts'
import { HeldTellers } from '../../../src/controlplane/held-tellers.ts'
import { createControlPlaneLink, type ControlPlaneLink } from '../../../src/controlplane/link.ts'
import { createRegistrar } from '../../../src/controlplane/registration.ts'
import { hostReport } from '../../../src/controlplane/state-report.ts'
import { StateSync } from '../../../src/controlplane/state-sync.ts'
import type { ToldStates } from '../../../src/controlplane/told-record.ts'
import { VmSync } from '../../../src/controlplane/vm-sync.ts'
import { silentLogger } from '../../../src/core/context.ts'
import { AgentError } from '../../../src/core/errors.ts'
import type { PoolHealth, PoolInfo, PowerState, VmInfo } from '../../../src/core/model.ts'
import { createConnectClient, type ConnectClient } from '../../../src/platform/connect-client.ts'
import type { StateCollection, StateStore } from '../../../src/platform/state-store.ts'
import { memoryCollection } from '../../conformance/memory-state.ts'
import { FakePace } from './fake-pace.ts'
import { FACTS, LOAD, pool } from './link-fixture.ts'

/** A host that tests change by hand; every change rings the listeners as libvirt's events and the health monitor do. */
export class TestHost {
  readonly #vms = new Map<string, VmInfo>()
  readonly #pools = new Map<string, PoolInfo>()
  readonly #listeners = new Set<() => void>()

  readonly vms = {
    list: () => [...this.#vms.values()],
    read: () => Promise.resolve([...this.#vms.values()]),
    onChange: (listener: () => void) => this.#listen(listener),
  }
  readonly pools = {
    list: () => [...this.#pools.values()],
    onChange: (listener: () => void) => this.#listen(listener),
  }

  setVm(vmId: string, state: PowerState): void {
    const size = { managed: true, cpuCount: 2, memoryBytes: 2 ** 29 }
    this.#vms.set(vmId, { vmId, name: vmId.slice(0, 4), state, ...size, labels: {}, disks: [], observedAt: 1 })
    this.#ring()
  }

  removeVm(vmId: string): void {
    this.#vms.delete(vmId)
    this.#ring()
  }

  setPool(poolId: string, health: PoolHealth): void {
    this.#pools.set(poolId, pool(poolId, health))
    this.#ring()
  }

  #listen(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  #ring(): void {
    for (const listener of this.#listeners) listener()
  }
}

export interface TestSession {
  readonly link: ControlPlaneLink
  stop(): Promise<void>
}

/** The whole conversation of an agent with one control plane, wired as the agent wires it, on a clock that the test moves. What is kept outlives a session: a second one is a restarted agent. */
export class SessionFixture {
  readonly pace = new FakePace()
  readonly host = new TestHost()
  readonly #collections = new Map<string, StateCollection<unknown>>()
  /** Deadline of every call in real time: short while nobody answers, as the clock of the test waits for it. */
  callTimeoutMs = 10_000
  readonly #open: TestSession[] = []
  #inFlight = 0

  readonly store: StateStore = {
    collection: <T>(name: string) => {
      const known = this.#collections.get(name) ?? memoryCollection<unknown>()
      this.#collections.set(name, known)
      return known as StateCollection<T>
    },
  }

  /** A started session, of an agent whose recovery is over when `recovered` resolves. */
  start(url: string, recovered: Promise<void> = Promise.resolve()): TestSession {
    const { pace, host, store } = this
    const connect = this.#counted(createConnectClient({ baseUrl: url }))
    const common = { client: connect, pace, log: silentLogger }
    const assigned = new AssignedPools({
      ...common,
      pools: {
        known: () => host.pools.list().map(({ config }) => config.poolId),
        find: (poolId) => Promise.reject(new AgentError('POOL_NOT_FOUND', `pool ${poolId} not found`)),
        init: () => Promise.resolve(),
      },
    })
    const vmSync = new VmSync({ ...common, vms: host.vms, importForeign: true })
    const stateSync = new StateSync({
      ...common,
      vms: host.vms,
      addresses: { of: () => undefined, onChange: () => () => undefined },
      pools: host.pools,
      host: () => Promise.resolve(hostReport(FACTS, LOAD)),
      importForeign: true,
      store: store.collection<ToldStates>('told-states'),
    })
    const tellers = new HeldTellers(recovered, [vmSync, stateSync], silentLogger)
    const link = createControlPlaneLink({
      ...common,
      registrar: createRegistrar({ client: connect, store, facts: () => Promise.resolve(FACTS), labels: {} }),
      source: {
        load: () => LOAD,
        pools: () => host.pools.list(),
        missingPools: () => assigned.missing(),
        runningVmCount: () => host.vms.list().filter(({ state }) => state === 'RUNNING').length,
        stateHash: () => stateSync.stateHash(),
      },
      intervalMs: 30_000,
      onAnswer: (answer) => assigned.update(answer),
      onRegistered: (nodeId) => tellers.registered(nodeId),
    })
    const session: TestSession = {
      link,
      async stop() {
        await link.stop()
        for (const part of [assigned, vmSync, stateSync]) await part.stop()
      },
    }
    this.#open.push(session)
    link.start()
    return session
  }

  /** Lets `ms` pass: whatever falls due does, in order, and every call that it makes has ended before the clock moves on. */
  async pass(ms: number): Promise<void> {
    const end = this.pace.now() + ms
    for (;;) {
      await this.#settle()
      const due = Math.min(this.pace.nextDue() ?? end, end)
      if (due === end) break
      this.pace.advance(Math.max(0, due - this.pace.now()))
    }
    this.pace.advance(end - this.pace.now())
    await this.#settle()
  }

  async dispose(): Promise<void> {
    for (const session of this.#open) await session.stop()
  }

  // Everything but the calls is memory: once none is in flight and the queue of the event loop ran empty twice, all sleep.
  async #settle(): Promise<void> {
    for (let quiet = 0; quiet < 3;) {
      await new Promise((resolve) => setImmediate(resolve))
      quiet = this.#inFlight === 0 ? quiet + 1 : 0
    }
  }

  #counted(client: ConnectClient): ConnectClient {
    return {
      ...client,
      call: async (procedure, request, answer, options) => {
        this.#inFlight++
        try {
          return await client.call(procedure, request, answer, { ...options, timeoutMs: this.callTimeoutMs })
        } finally {
          this.#inFlight--
        }
      },
    }
  }
}
