import { AgentError } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import { TEMP_SUFFIX } from '../../platform/files.ts'
import { MARKER_FILE, RECORDS_DIRECTORY } from '../pool-marker.ts'

/** INVALID_PATH for the agent's own files in a pool: its marker and its records. */
export function refuseOwn(components: readonly string[]): void {
  if (components[0] === RECORDS_DIRECTORY || components[0] === MARKER_FILE) {
    throw new AgentError('INVALID_PATH', `path ${quote(components.join('/'))} belongs to the agent`)
  }
}

/** Parent and name of an entry that may be changed; INVALID_PATH for the root of the pool and for names of the agent's own files. */
export function splitEntry(components: readonly string[]): [parents: readonly string[], name: string] {
  refuseOwn(components)
  const name = components.at(-1)
  if (name === undefined) throw new AgentError('INVALID_PATH', 'path: the root of the pool cannot be changed')
  if (name.endsWith(TEMP_SUFFIX)) {
    const what = quote(components.join('/'))
    throw new AgentError('INVALID_PATH', `path ${what} is unfinished work of the agent, which removes it by itself`)
  }
  return [components.slice(0, -1), name]
}
