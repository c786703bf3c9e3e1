import { randomUUID } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { build } from 'esbuild'
import type { Rig } from './rig.ts'

/** Bundles `guest/<name>.ts` into one file and takes it to the host; resolves to its path there. The proto files of the agent are where the source expects them. */
export async function installGuestProgram(rig: Rig, name: string): Promise<string> {
  const file = `/opt/limiquantix-node/dist/rig/guest/${name}.mjs`
  await rig.write(file, await bundle(path.join(import.meta.dirname, 'guest', `${name}.ts`)))
  return file
}

async function bundle(entry: string): Promise<Buffer> {
  const outfile = path.join(tmpdir(), `lqx-rig-${randomUUID()}.mjs`)
  try {
    await build({
      entryPoints: [entry],
      outfile,
      bundle: true,
      platform: 'node',
      target: 'node24',
      format: 'esm',
      // The fixtures of the host tier name the test runner in helpers that are not used there.
      external: ['vitest', 'vitest/*'],
      banner: {
        js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
      },
      logLevel: 'error',
    })
    return await readFile(outfile)
  } finally {
    await rm(outfile, { force: true })
  }
}
