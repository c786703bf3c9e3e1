import { parseUuid } from '../core/ids.ts'
import type { MigrationState } from '../core/model.ts'
import type { Services } from '../services/contracts.ts'
import { serverStream, unary, type CallEnvironment } from './call.ts'
import type { MigrateVMRequest__Output } from './gen/limiquantix/node/v1/MigrateVMRequest.ts'
import { MigrationPhase } from './gen/limiquantix/node/v1/MigrationPhase.ts'
import type { MigrationProgress } from './gen/limiquantix/node/v1/MigrationProgress.ts'
import type { MigrationToken__Output } from './gen/limiquantix/node/v1/MigrationToken.ts'
import type { NodeDaemonServiceHandlers } from './gen/limiquantix/node/v1/NodeDaemonService.ts'
import type { PrepareMigrationRequest__Output } from './gen/limiquantix/node/v1/PrepareMigrationRequest.ts'
import { toTimestamp } from './wire-values.ts'

const change = (name: string) => ({ name, changes: true })

/** The methods about moving VMs: the first two at the host that a VM goes to, the third where it is. A caller that hangs up does not end a migration. */
export function migrationHandlers({ migrations }: Services, env: CallEnvironment) {
  return {
    PrepareMigration: unary(
      env,
      change('PrepareMigration'),
      async ({ vmId }: PrepareMigrationRequest__Output, signal) => {
        const ticket = await migrations.announce(parseUuid(vmId, 'vm_id'), signal)
        return { token: ticket.token, vmId: ticket.vmId, expiresAt: toTimestamp(ticket.expiresAt) }
      },
    ),
    ReceiveMigration: unary(env, change('ReceiveMigration'), ({ token, vmId }: MigrationToken__Output) => {
      migrations.receive(token, vmId)
      return {}
    }),
    MigrateVM: serverStream(env, change('MigrateVM'), async function* (request: MigrateVMRequest__Output, signal) {
      const { vmId, targetNodeUri, live, storage } = request
      const { jobId } = await migrations.start(
        { vmId: parseUuid(vmId, 'vm_id'), target: targetNodeUri, live, copyStorage: storage, options: {} },
        signal,
      )
      for await (const state of migrations.watch(jobId, signal)) yield toMessage(state)
    }),
  } satisfies Partial<NodeDaemonServiceHandlers>
}

function toMessage({ vmId, percent, bytesDone, bytesRemaining, phase, error }: MigrationState): MigrationProgress {
  return {
    vmId,
    percentComplete: percent,
    dataTransferredBytes: bytesDone,
    dataRemainingBytes: bytesRemaining,
    phase: MigrationPhase[`MIGRATION_PHASE_${phase}`],
    error,
  }
}
