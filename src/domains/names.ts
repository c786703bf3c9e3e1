import { createHash } from 'node:crypto'
import path from 'node:path'
import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import { isXmlText } from '../libvirt/xml-node.ts'

const MAX_NAME_CHARACTERS = 128
// libvirt names files after the domain, with suffixes of its own.
const MAX_NAME_BYTES = 230

/** A name that libvirt takes and that is safe in its file names; INVALID_NAME otherwise. XML and YAML metacharacters and any script are fine. */
export function parseVmName(name: string): string {
  const problem = nameProblem(name)
  if (problem !== undefined) throw new AgentError('INVALID_NAME', `name: ${quote(name)} ${problem}`)
  return name
}

function nameProblem(name: string): string | undefined {
  if (name === '') return 'is empty'
  if (name.trim() !== name) return 'begins or ends with white space'
  if (!isXmlText(name) || /\p{Cc}/u.test(name)) return 'has control characters or is not valid Unicode'
  if (name.includes('/')) return 'has a slash'
  if (/^[.-]/.test(name)) return 'begins with a dot or a dash'
  if ([...name].length > MAX_NAME_CHARACTERS || Buffer.byteLength(name) > MAX_NAME_BYTES) {
    return `is longer than ${MAX_NAME_CHARACTERS} characters or ${MAX_NAME_BYTES} bytes`
  }
  return undefined
}

/** The name as one component of a path (contract 4.2): other characters become `_`, runs collapse, 64 characters at most. */
export function safeName(name: string): string {
  const safe = name
    .replace(/[^A-Za-z0-9_.-]+/g, '_')
    .replace(/_+/g, '_')
    .replace(/\.{2,}/g, '.')
    .slice(0, 64)
    .replace(/^[_.-]+|[_.-]+$/g, '')
  return safe === '' ? 'vm' : safe
}

/** Pool-relative name of a disk that the agent makes for a VM. */
export function diskVolumeName(vm: { readonly vmId: string; readonly name: string }, diskId: string): string {
  return `vms/${safeName(vm.name)}_${vm.vmId.slice(0, 8)}/${diskId}`
}

/** Owner of everything made for a VM, as storage records it. */
export function vmOwner(vmId: string): string {
  return `vm:${vmId}`
}

/** Directory of the VM's own small files (seed, console log) below the state directory. The one owner of this rule. */
export function vmDirectory(stateDir: string, vmId: string): string {
  return path.join(stateDir, 'vms', vmId)
}

/** What the guest writes to its first serial port, in that directory. */
export const CONSOLE_LOG = 'console.log'

/** A MAC address for a NIC that was given none: in QEMU's range, and the same for the same VM and NIC every time. */
export function derivedMac(vmId: string, nicId: string): string {
  const hash = createHash('sha256').update(`${vmId}\n${nicId}`).digest()
  return ['52', '54', '00', ...[0, 1, 2].map((index) => hash.toString('hex', index, index + 1))].join(':')
}
