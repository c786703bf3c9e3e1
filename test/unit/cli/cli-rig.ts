import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { onTestFinished } from 'vitest'
import { runClientCommand } from '../../../src/cli/client-commands.ts'
import { silentLogger } from '../../../src/core/context.ts'
import { startHttpServer } from '../../../src/http/server.ts'
import { fakeServices, type FakeServices, type Overrides } from '../grpc/fake-services.ts'

/** The commands against a real HTTP server over fake services. */
export interface CliRig {
  /** What the services were asked. */
  readonly calls: FakeServices['calls']
  /** Runs a command with its arguments. */
  run(name: Parameters<typeof runClientCommand>[0], ...args: string[]): Promise<{ code: number; text: string }>
}

/** Starts one on a unix socket, for the time of a test. */
export async function startCliRig(overrides: Overrides = {}): Promise<CliRig> {
  const directory = await mkdtemp(path.join(tmpdir(), 'lqx-cli-'))
  const socket = path.join(directory, 'agent.sock')
  const services = fakeServices(overrides)
  const server = await startHttpServer({ services, listen: { path: socket }, log: silentLogger })
  onTestFinished(async () => {
    await server.close(100)
    await rm(directory, { recursive: true })
  })
  return {
    calls: services.calls,
    async run(name, ...args) {
      let text = ''
      const code = await runClientCommand(
        name,
        args,
        () => Promise.resolve(socket),
        (more) => (text += more),
      )
      return { code, text }
    },
  }
}
