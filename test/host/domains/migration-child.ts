// The agent of a host that is killed at a given point of a migration. Arguments: base, libvirt directory, shared pool, port, point, side (a or b), request as JSON (of a source; empty for a target, which serves until then).
import { flushCompileCache } from 'node:module'
import type { MigrationRequest } from '../../../src/core/model.ts'
import { within } from './agent-fixture.ts'
import { openMigrationHost } from './migration-host.ts'

// It is killed: the next one would have to compile everything again.
flushCompileCache()

const [base = '', libvirtDir = '', shared = '', port = '0', point = '', side = '', json = ''] = process.argv.slice(2)
const dieAt = (name: string) => {
  if (name === point) process.kill(process.pid, 'SIGKILL')
}
const host = await openMigrationHost(base, libvirtDir, {
  shared,
  sharedAs: `host-${side}`,
  port: Number(port),
  onMigrationStep: dieAt,
  onIncomingStep: dieAt,
})
if (json === '') process.stdout.write('serving\n')
else {
  const { jobId } = await host.migrations.start(JSON.parse(json) as MigrationRequest, within())
  await host.operations.wait(jobId, within())
  throw new Error(`the migration went on to its end, past ${point}`)
}
