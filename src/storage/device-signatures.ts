import { z } from 'zod'
import type { OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import { deviceHolders } from './device-state.ts'
import type { Lvm } from './lvm.ts'

const signaturesSchema = z.object({ signatures: z.array(z.object({ type: z.string(), offset: z.string() })) })

/**
 * Refuses a device (stable name and kernel name) that is anything but blank with POOL_DATA_FOREIGN, naming what is on it: every signature wipefs(8) knows (file systems,
 * partition tables, swap, RAID, LUKS, LVM), or something that uses the device.
 */
export async function refuseSignatures(lvm: Lvm, device: string, node: string, ctx: OpContext): Promise<void> {
  const holders = await deviceHolders(node)
  if (holders.length > 0) throw foreign(device, `is in use by ${holders.join(', ')}`)
  const output = await lvm.inspect('wipefs', ['--no-act', '--json', node], ctx)
  // Nothing at all is printed for a blank device.
  if (output.trim() === '') return
  const { signatures } = signaturesSchema.parse(JSON.parse(output))
  const found = signatures.map(({ type, offset }) => `${type} at byte ${Number(offset)}`)
  if (found.length > 0) throw foreign(device, `carries data: ${found.join(', ')}`)
}

function foreign(device: string, what: string): AgentError {
  return new AgentError(
    'POOL_DATA_FOREIGN',
    `${device} ${what}; the agent never overwrites it: if it may go, wipe it yourself (wipefs --all), else use another disk`,
  )
}
