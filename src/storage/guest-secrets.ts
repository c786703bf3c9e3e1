import type { OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import { fromLibvirt } from '../libvirt/agent-errors.ts'
import type { LibvirtClient } from '../libvirt/client.ts'
import { VIR_ERR } from '../libvirt/constants.ts'
import { isLibvirtError } from '../libvirt/errors.ts'
import { uuidBytes } from '../libvirt/uuid.ts'
import { writeXml } from '../libvirt/write-xml.ts'
import { el } from '../libvirt/xml-node.ts'
import type { GuestSecret, GuestSecrets } from './environment.ts'

const CALL_TIMEOUT_MS = 15_000

/**
 * Guest secrets in libvirt, by its RPC alone: the value is in a binary field of one call and nowhere else. `private`, so that libvirt tells it to nobody; not
 * `ephemeral`, so that guests start while the agent is down. See https://libvirt.org/formatsecret.html.
 */
export function createGuestSecrets(libvirt: Pick<LibvirtClient, 'call'>): GuestSecrets {
  const options = ({ signal }: OpContext) => ({ timeoutMs: CALL_TIMEOUT_MS, signal })
  return {
    async put({ uuid, usage, name, value }: GuestSecret, ctx: OpContext): Promise<void> {
      try {
        const args = { xml: secretXml(uuid, usage, name), flags: 0 }
        const { secret } = await libvirt.call('remote:SECRET_DEFINE_XML', args, options(ctx))
        await libvirt.call('remote:SECRET_SET_VALUE', { secret, value, flags: 0 }, options(ctx))
      } catch (error) {
        throw secretError(error, name)
      }
    },
    async remove(uuid: string, ctx: OpContext): Promise<void> {
      try {
        const args = { uuid: uuidBytes(uuid) }
        const { secret } = await libvirt.call('remote:SECRET_LOOKUP_BY_UUID', args, options(ctx))
        await libvirt.call('remote:SECRET_UNDEFINE', { secret }, options(ctx))
      } catch (error) {
        if (!isLibvirtError(error, VIR_ERR.NO_SECRET)) throw secretError(error, uuid)
      }
    },
  }
}

function secretXml(uuid: string, usage: GuestSecret['usage'], name: string): string {
  // An iSCSI secret is known by its target, a Ceph secret by its name.
  const key = usage === 'ceph' ? 'name' : 'target'
  return writeXml(
    el('secret', { ephemeral: 'no', private: 'yes' }, [
      el('uuid', {}, uuid),
      el('usage', { type: usage }, [el(key, {}, name)]),
    ]),
  )
}

function secretError(error: unknown, name: string): AgentError {
  return error instanceof AgentError ? error : fromLibvirt(error, `secret ${name}`)
}
