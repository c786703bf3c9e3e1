import type { Logger } from '../core/context.ts'
import { errorText } from '../core/errors.ts'
import type { HypervisorFacts } from '../core/model.ts'
import type { LibvirtClient } from '../libvirt/client.ts'
import { chooseDomainType } from './domain-type.ts'

const READ_TIMEOUT_MS = 120_000

/** What is known of the hypervisor, in memory: read at every connection, in the background, since libvirt may first have to probe QEMU. */
export class HypervisorStatus {
  readonly #client: LibvirtClient
  readonly #log: Logger
  readonly #stopping = new AbortController()
  #facts = { qemuVersion: '', maxVcpus: 0, kvm: false }

  constructor(client: LibvirtClient, log: Logger) {
    this.#client = client
    this.#log = log
    client.onState(({ phase }) => {
      if (phase === 'connected') void this.#read()
    })
  }

  /** At once; versions are those of the last connection. */
  now(): Omit<HypervisorFacts, 'name'> {
    const version = this.#client.libVersion
    return {
      connected: this.#client.state.phase === 'connected',
      version: version === undefined ? '' : versionText(version),
      ...this.#facts,
    }
  }

  stop(): void {
    this.#stopping.abort()
  }

  async #read(): Promise<void> {
    const options = { signal: this.#stopping.signal, timeoutMs: READ_TIMEOUT_MS }
    try {
      const { hv_ver } = await this.#client.call('remote:CONNECT_GET_VERSION', {}, options)
      this.#facts = { ...this.#facts, qemuVersion: versionText(Number(hv_ver)) }
      const kvm = (await chooseDomainType('auto', this.#client, options.signal)) === 'kvm'
      const { max_vcpus } = await this.#client.call(
        'remote:CONNECT_GET_MAX_VCPUS',
        { type: kvm ? 'kvm' : 'qemu' },
        options,
      )
      this.#facts = { ...this.#facts, kvm, maxVcpus: max_vcpus }
    } catch (error) {
      if (!options.signal.aborted) this.#log.warn({ err: errorText(error) }, 'cannot read the facts of the hypervisor')
    }
  }
}

/** libvirt counts 9.0.0 as 9000000. */
function versionText(version: number): string {
  return `${Math.floor(version / 1_000_000)}.${Math.floor(version / 1_000) % 1_000}.${version % 1_000}`
}
