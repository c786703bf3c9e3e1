import { createHash } from 'node:crypto'
import type { OpContext } from '../core/context.ts'
import { errorText, isAgentError } from '../core/errors.ts'
import type { GuestSecrets } from './environment.ts'

/** Namespace of the name-based UUIDs (RFC 9562, version 5) of the agent's secrets. */
const NAMESPACE = '6f1b9d0e-3c53-5c1e-9a7e-0d6b6f0f7a52'

/** UUID of the secret of a pool whose configuration names none: the same on every host. */
export function poolSecretUuid(poolId: string): string {
  const hash = createHash('sha1')
    .update(Buffer.from(NAMESPACE.replaceAll('-', ''), 'hex'))
    .update(poolId)
    .digest()
  hash[6] = ((hash[6] ?? 0) & 0x0f) | 0x50
  hash[8] = ((hash[8] ?? 0) & 0x3f) | 0x80
  const hex = hash.toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join('-')
}

/**
 * The key of a pool as libvirt has it for guests. libvirt may be down when a pool is activated, and images can be worked on all the same: then it is handed over as soon
 * as libvirt answers. A secret under a configured UUID that libvirt has for something else is left as it is: somebody put it there for guests to use.
 */
export class CephGuestSecret {
  readonly #secrets: GuestSecrets
  readonly #uuid: string
  readonly #name: string
  readonly #poolId: string
  #value: Uint8Array | undefined
  #state: 'none' | 'pending' | 'ours' | 'foreign' = 'none'

  /** `uuid` as configured; '' for one of the pool's own. */
  constructor(secrets: GuestSecrets, poolId: string, user: string, uuid: string) {
    this.#secrets = secrets
    this.#poolId = poolId
    this.#uuid = uuid === '' ? poolSecretUuid(poolId) : uuid
    this.#name = `client.${user} secret for ${poolId}`
    // What an earlier run of the agent handed over under the pool's own UUID is ours.
    if (uuid === '') this.#state = 'ours'
  }

  /** Hands the key (base64, as in a keyring) to libvirt, now or as soon as it answers. */
  async set(key: string, ctx: OpContext): Promise<void> {
    this.#value = Buffer.from(key, 'base64')
    this.#state = 'pending'
    await this.handOver(ctx)
  }

  /** Tries again what libvirt did not take yet. Never throws: whoever starts a guest hears from libvirt what is missing. */
  async handOver(ctx: OpContext): Promise<void> {
    if (this.#state !== 'pending' || this.#value === undefined) return
    try {
      await this.#secrets.put({ uuid: this.#uuid, usage: 'ceph', name: this.#name, value: this.#value }, ctx)
      this.#state = 'ours'
    } catch (error) {
      const taken = isAgentError(error, 'LIBVIRT_REFUSED')
      if (taken) this.#state = 'foreign'
      const fields = { pool: this.#poolId, secret: this.#uuid, err: errorText(error) }
      if (taken) ctx.log.warn(fields, 'libvirt keeps another secret under this UUID; guests of the pool use that one')
      else ctx.log.debug(fields, 'libvirt did not take the key of a Ceph pool yet')
    }
  }

  /** Removes it from libvirt if the agent put it there. Errors: LIBVIRT_*. */
  async remove(ctx: OpContext): Promise<void> {
    if (this.#state === 'ours') await this.#secrets.remove(this.#uuid, ctx)
    this.#state = 'none'
    this.#value = undefined
  }

  get uuid(): string {
    return this.#uuid
  }
}
