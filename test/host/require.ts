import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { delimiter, join } from 'node:path'

/** Looks for a prerequisite; resolves to why it is missing, or to undefined when it is there. */
export type PrerequisiteProbe = () => string | undefined | Promise<string | undefined>

/**
 * Runs `probe` and resolves to the reason for skipping, or undefined: `describe.skipIf(await requirePrerequisite(…))`.
 * When LIMIQUANTIX_REQUIRE (a comma-separated list of names, or `all`) holds `name`, a missing prerequisite throws instead.
 */
export async function requirePrerequisite(name: string, probe: PrerequisiteProbe): Promise<string | undefined> {
  const reason = await probe()
  if (reason === undefined) return undefined
  const required = (process.env['LIMIQUANTIX_REQUIRE'] ?? '').split(',').map((entry) => entry.trim())
  if (required.includes(name) || required.includes('all')) {
    throw new Error(`the required prerequisite "${name}" is missing: ${reason}`)
  }
  process.stderr.write(`skipped for want of ${name}: ${reason}\n`)
  return reason
}

/** A probe for programs on PATH (and in the sbin directories, which a user's PATH may lack). */
export function missingCommand(...names: readonly string[]): PrerequisiteProbe {
  const directories = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin']
  return async () => {
    for (const name of names) {
      const found = await Promise.all(
        directories.map((directory) =>
          access(join(directory, name), constants.X_OK).then(
            () => true,
            () => false,
          ),
        ),
      )
      if (!found.includes(true)) return `${name} is not installed (scripts/test installs it)`
    }
    return undefined
  }
}

/** Why the private libvirt of the global setup is missing, or undefined when the tests can use it. */
export function missingLibvirt(): string | undefined {
  if (process.env['LIMIQUANTIX_TEST_LIBVIRT_DIR'] !== undefined) return undefined
  return process.env['LIMIQUANTIX_TEST_LIBVIRT_MISSING'] ?? 'the global setup of the host tier did not run'
}

/** A probe for rights that only root has (mounts, namespaces, other users' files). */
export function missingRoot(): string | undefined {
  return process.getuid?.() === 0 ? undefined : 'the tests do not run as root'
}
