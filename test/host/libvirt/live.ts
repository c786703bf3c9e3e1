import { randomUUID } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { silentLogger } from '../../../src/core/context.ts'
import { LibvirtClient, type LibvirtClientOptions } from '../../../src/libvirt/client.ts'
import { VIR_ERR } from '../../../src/libvirt/constants.ts'
import { isLibvirtError } from '../../../src/libvirt/errors.ts'
import type { EventName, EventPayload } from '../../../src/libvirt/event-names.ts'
import type { RemoteNonnullDomain } from '../../../src/libvirt/wire/remote-types.gen.ts'

/** The private libvirt of the host tier. */
export const libvirtDir = process.env['LIMIQUANTIX_TEST_LIBVIRT_DIR'] ?? ''

/** A connected client of the libvirtd below `directory`. */
export async function liveClient(
  uri: string,
  options: Partial<LibvirtClientOptions> = {},
  directory = libvirtDir,
): Promise<LibvirtClient> {
  const client = new LibvirtClient({ uri, socketPath: `${directory}/run/libvirt-sock`, log: silentLogger, ...options })
  await client.ready(AbortSignal.timeout(30_000))
  return client
}

/** The smallest guest that QEMU runs: no disk, no network, emulated. */
export function tinyGuestXml(name = `lqx-${randomUUID().slice(0, 8)}`): string {
  return `<domain type='qemu'><name>${name}</name><memory unit='MiB'>32</memory>
    <os><type arch='x86_64' machine='q35'>hvm</type></os>
    <devices><serial type='pty'/><console type='pty'/><channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel></devices></domain>`
}

/** Ends and forgets a guest, whatever state it is in. */
export async function removeGuest(client: LibvirtClient, dom: RemoteNonnullDomain): Promise<void> {
  for (const step of [
    () => client.call('remote:DOMAIN_DESTROY', { dom }, { timeoutMs: 60_000 }),
    () => client.call('remote:DOMAIN_UNDEFINE_FLAGS', { dom, flags: 0 }),
  ]) {
    await step().catch((error: unknown) => {
      if (!isLibvirtError(error, VIR_ERR.OPERATION_INVALID, VIR_ERR.NO_DOMAIN)) throw error
    })
  }
}

/** Process id of a guest's QEMU. */
export async function qemuPid(guest: string): Promise<number> {
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const commandLine = await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '')
    if (commandLine.includes(`guest=${guest},`)) return Number(entry)
  }
  throw new Error(`no QEMU runs ${guest}`)
}

/** Records the payloads of an event and waits for one. */
export async function recordEvents<E extends EventName>(client: LibvirtClient, event: E) {
  const seen: EventPayload<E>[] = []
  let wake: (() => void) | undefined
  const stop = await client.subscribe(event, (payload) => {
    seen.push(payload)
    wake?.()
  })
  return {
    seen,
    stop,
    async until(wanted: (payload: EventPayload<E>) => boolean): Promise<EventPayload<E>> {
      for (;;) {
        const found = seen.find(wanted)
        if (found !== undefined) return found
        const { promise, resolve } = Promise.withResolvers<void>()
        wake = resolve
        await promise
      }
    },
  }
}
