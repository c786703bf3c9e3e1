import { readFile } from 'node:fs/promises'
import { AgentError, errorText } from '../core/errors.ts'

/** The text of a file that a command names; USAGE when it cannot be read. */
export async function readPem(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw new AgentError('USAGE', `${file} cannot be read: ${errorText(error)}`)
  }
}
