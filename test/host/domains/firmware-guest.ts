import { readFile, readdir } from 'node:fs/promises'
import path from 'node:path'
import { MIB } from '../../../src/core/bytes.ts'
import type { VmSpec } from '../../../src/core/model.ts'
import { domainRef } from '../../../src/domains/libvirt-domain.ts'
import { isHole } from '../../../src/libvirt/stream.ts'
import { until } from '../../support/until.ts'
import type { AgentParts } from './agent-fixture.ts'

/** A guest that is nothing but UEFI firmware: it finds nothing to boot and ends in its shell, which listens on the serial console. */
export const FIRMWARE_GUEST: Partial<VmSpec> = { firmware: 'uefi', memoryBytes: 128 * MIB, bootOrder: ['disk'] }

const PROMPT = 'Shell> '
/** Emulated, it takes ten seconds on an idle host. */
const FIRMWARE_MS = 300_000

/** Waits until the shell of a guest of firmware has started. */
export function waitForShell(host: Pick<AgentParts, 'base'>, vmId: string): Promise<void> {
  return waitForOutput(host, vmId, PROMPT)
}

/** Waits until a guest has printed a text on its serial console. */
export async function waitForOutput({ base }: Pick<AgentParts, 'base'>, vmId: string, text: string): Promise<void> {
  await until(async () => (await consoleLog(base, vmId)).includes(text), FIRMWARE_MS)
}

/** What came of a command in the shell of the firmware: everything on the console up to the next prompt. */
export async function inShell({ client }: Pick<AgentParts, 'client'>, vmId: string, command: string): Promise<string> {
  const args = { dom: domainRef(vmId), dev_name: null, flags: 0 }
  const stream = await client.openStream('remote:DOMAIN_OPEN_CONSOLE', args, { idleTimeoutMs: FIRMWARE_MS })
  try {
    let text = ''
    // The echo of each key is waited for: the firmware polls a buffer of 16 bytes.
    for (const key of `${command}\r`) {
      const before = text.length
      await stream.write(Buffer.from(key))
      while (text.length === before) text += await next(stream)
    }
    while (!text.slice(command.length).includes(PROMPT)) text += await next(stream)
    return text
  } finally {
    await stream.abort()
  }
}

async function next(stream: Awaited<ReturnType<AgentParts['client']['openStream']>>): Promise<string> {
  const piece = await stream.read()
  if (piece === undefined) throw new Error('the console has ended')
  return isHole(piece) ? '' : Buffer.from(piece).toString('latin1')
}

async function consoleLog(base: string, vmId: string): Promise<string> {
  return readFile(path.join(base, 'state/vms', vmId, 'console.log'), 'utf8').catch(() => '')
}

/** What a private libvirt keeps of guests by itself: files of UEFI variables, and directories of TPMs. */
export async function keptByLibvirt(libvirtDir: string): Promise<string[]> {
  const places = ['qemu/nvram', 'swtpm']
  const all = await Promise.all(
    places.map(async (place) => {
      const names = await readdir(path.join(libvirtDir, 'lib', place)).catch(() => [])
      return names.map((name) => `${place}/${name}`)
    }),
  )
  return all.flat().sort()
}
