import { z } from 'zod'
import type { AgentClient } from './agent-client.ts'
import type { CommandLine } from './command-line.ts'
import { findVm } from './find-vm.ts'
import { watchJob } from './jobs-command.ts'
import { textTable } from './text-table.ts'

const list = z.object({
  backups: z.array(
    z.looseObject({
      vmId: z.string(),
      name: z.string(),
      poolId: z.string(),
      createdAt: z.string(),
      parent: z.string().nullable(),
      state: z.string(),
    }),
  ),
  damaged: z.array(z.looseObject({ vmId: z.string(), name: z.string(), poolId: z.string(), problem: z.string() })),
})
const exported = z.looseObject({
  name: z.string(),
  expiresAt: z.string(),
  checkpoint: z.string().nullable(),
  disks: z.array(z.looseObject({ diskId: z.string(), url: z.string(), bitmap: z.string().nullable() })),
})
const exportList = z.object({ exports: z.array(exported) })
const job = z.looseObject({ jobId: z.string() })

const BACKUP = 'the name of a backup'
const EXPORT = 'the name of an export'

/** `backups list [VM]`, `backups create|restore|rm|export|exports|end|forget VM …`; VMs are named by id or name, those that are gone by id. Returns the exit code: those that take long are watched to their end. */
export async function backupsCommand(line: CommandLine, agent: AgentClient): Promise<number> {
  const action = line.required('list, create, restore, rm, export, exports, end or forget')
  if (!['list', 'create', 'restore', 'rm', 'export', 'exports', 'end', 'forget'].includes(action))
    return line.unknown(action)
  if (action === 'list') {
    const vm = line.argument('')
    line.end()
    return tell(await agent.call('GET', vm === '' ? '/api/v1/backups' : `${await vmUrl(vm)}/backups`))
  }
  const vm = line.required('the id or name of a VM')
  const backups = async () => `${await vmUrl(vm)}/backups`
  const exports = async () => `${await vmUrl(vm)}/exports`
  const word = (what: string) => encodeURIComponent(line.required(what))
  switch (action) {
    case 'create':
      line.end()
      return follow(
        await agent.call('POST', await backups(), line.body({ pool: 'poolId', name: 'name', mode: 'mode' })),
      )
    case 'restore': {
      const name = word(BACKUP)
      line.end()
      const body = line.body({ pool: 'poolId', name: 'prefix' })
      return follow(await agent.call('POST', `${await backups()}/${name}/restore`, body))
    }
    case 'export': {
      line.end()
      const lifetimeSeconds = line.count('lifetime', 'seconds, at least 1, such as 14400')
      const body = line.body({
        pool: 'poolId',
        name: 'name',
        mode: 'mode',
        since: 'since',
      })
      const given = lifetimeSeconds === undefined ? body : { ...body, lifetimeSeconds }
      return tellExports([exported.parse(await agent.call('POST', await exports(), given))])
    }
    case 'exports':
      line.end()
      return tellExports(exportList.parse(await agent.call('GET', await exports())).exports)
    case 'end': {
      const name = word(EXPORT)
      line.end()
      await agent.call('POST', `${await exports()}/${name}/end`, { complete: line.flag('complete') })
      return 0
    }
    case 'forget': {
      const name = word(EXPORT)
      line.end()
      await agent.call('DELETE', `${await exports()}/${name}`)
      return 0
    }
    default: {
      const name = word(BACKUP)
      line.end()
      await agent.call('DELETE', `${await backups()}/${name}`)
      return 0
    }
  }

  async function vmUrl(given: string): Promise<string> {
    return `/api/v1/vms/${await findVm(given, agent)}`
  }

  function tell(answer: unknown): number {
    const { backups, damaged } = list.parse(answer)
    line.print({ backups, damaged }, () =>
      textTable(
        ['VM', 'NAME', 'CREATED', 'POOL', 'SINCE', 'STATE'],
        [
          ...backups.map(({ vmId, name, createdAt, poolId, parent, state }) => [
            vmId,
            name,
            createdAt,
            poolId,
            parent ?? '-',
            state,
          ]),
          ...damaged.map(({ vmId, name, poolId, problem }) => [vmId, name, '-', poolId, '-', `damaged: ${problem}`]),
        ],
      ),
    )
    return 0
  }

  function tellExports(exports: readonly z.output<typeof exported>[]): number {
    line.print({ exports }, () =>
      textTable(
        ['EXPORT', 'EXPIRES', 'CHECKPOINT', 'DISK', 'URL', 'BITMAP'],
        exports.flatMap(({ name, expiresAt, checkpoint, disks }) =>
          disks.map(({ diskId, url: at, bitmap }) => [name, expiresAt, checkpoint ?? '-', diskId, at, bitmap ?? '-']),
        ),
      ),
    )
    return 0
  }

  async function follow(answer: unknown): Promise<number> {
    const { jobId } = job.parse(answer)
    return watchJob(`/api/v1/jobs/${encodeURIComponent(jobId)}`, line, agent)
  }
}
