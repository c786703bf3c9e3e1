import { AgentError } from '../../core/errors.ts'
import { parseId } from '../../core/ids.ts'

const MAX_LENGTH = 64

/** INVALID_NAME unless a backup or an export can be called so: the name becomes part of names of volumes and checkpoints. */
export function requireBackupName(name: string): void {
  parseId(name, 'name')
  if (name.length > MAX_LENGTH) throw new AgentError('INVALID_NAME', `name: use at most ${MAX_LENGTH} characters`)
}
