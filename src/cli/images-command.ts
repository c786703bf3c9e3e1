import { formatBytes } from '../core/bytes.ts'
import type { AgentClient } from './agent-client.ts'
import type { CommandLine } from './command-line.ts'
import { watchJob } from './jobs-command.ts'
import { textTable } from './text-table.ts'

interface ImageAnswer {
  readonly id: string
  readonly filename: string
  readonly storagePoolId: string | null
  readonly format: string
  readonly sizeBytes: number
  readonly virtualSizeBytes: number
  readonly osDistribution: string | null
  readonly osVersion: string | null
  readonly path: string
  readonly usedBy: readonly string[]
  readonly usersKnown: boolean
}

interface ListAnswer {
  readonly images: readonly ImageAnswer[]
  readonly unseen: readonly { place: string; message: string }[]
}

interface CatalogAnswer {
  readonly images: readonly { id: string; name: string; architecture: string; defaultUser: string; origin: string }[]
  readonly problems: readonly { file: string; message: string }[]
}

/** `images list|scan|catalog|download|rm`; returns the exit code. */
export async function imagesCommand(line: CommandLine, agent: AgentClient): Promise<number> {
  const action = line.argument('list')
  switch (action) {
    case 'list':
    case 'scan': {
      const query = action === 'list' ? line.query('kind', 'pool') : ''
      line.end()
      const [method, path] = action === 'list' ? ['GET', `/api/v1/images${query}`] : ['POST', '/api/v1/images/scan']
      const answer = (await agent.call(method ?? 'GET', path ?? '')) as ListAnswer
      line.print(answer, () => imageTable(answer))
      return 0
    }
    case 'catalog': {
      line.end()
      const answer = (await agent.call('GET', '/api/v1/images/catalog')) as CatalogAnswer
      line.print(answer, () => catalogTable(answer))
      return answer.problems.length === 0 ? 0 : 1
    }
    case 'download':
      return download(line, agent)
    case 'rm': {
      const id = await findImage(line.required('the id or path of an image'), agent)
      line.end()
      await agent.call('DELETE', `/api/v1/images/${id}`)
      return 0
    }
    default:
      return line.unknown(action)
  }
}

async function download(line: CommandLine, agent: AgentClient): Promise<number> {
  const what = line.required('a catalog id or a URL')
  line.end()
  const connections = line.count('connections', 'connections to the server at the same time, from 1 to 8')
  const url = /^[a-z]+:\/\//i.test(what)
  const body = {
    ...(url ? { url: what, imageId: what.slice(0, 255) } : { catalogId: what }),
    ...line.body({
      pool: 'poolId',
      directory: 'targetDir',
      name: 'filename',
      checksum: 'checksum',
      sums: 'checksumUrl',
    }),
    ...(connections === undefined ? {} : { connections }),
  }
  const { jobId } = (await agent.call('POST', '/api/v1/images/download', { targetDir: '', ...body })) as {
    jobId: string
  }
  return watchJob(`/api/v1/jobs/${encodeURIComponent(jobId)}`, line, agent)
}

// Paths are what people have at hand.
async function findImage(given: string, agent: AgentClient): Promise<string> {
  if (!given.startsWith('/')) return encodeURIComponent(given)
  const { images } = (await agent.call('GET', '/api/v1/images')) as ListAnswer
  return images.find(({ path }) => path === given)?.id ?? encodeURIComponent(given)
}

function imageTable({ images, unseen }: ListAnswer): string {
  const rows = images.map((image) => [
    image.id,
    image.filename,
    image.storagePoolId ?? '-',
    image.format,
    formatBytes(image.sizeBytes),
    image.virtualSizeBytes === 0 ? '?' : formatBytes(image.virtualSizeBytes),
    [image.osDistribution, image.osVersion].filter(Boolean).join(' '),
    image.usersKnown ? String(image.usedBy.length) : '?',
  ])
  const table = textTable(['ID', 'FILE', 'POOL', 'FORMAT', 'SIZE', 'DISK', 'SYSTEM', 'USERS'], rows)
  return table + unseen.map(({ place, message }) => `not seen: ${place}: ${message}\n`).join('')
}

function catalogTable({ images, problems }: CatalogAnswer): string {
  const rows = images.map((image) => [image.id, image.name, image.architecture, image.defaultUser, image.origin])
  const table = textTable(['ID', 'NAME', 'ARCHITECTURE', 'USER', 'FROM'], rows)
  return table + problems.map(({ file, message }) => `not used: ${file}: ${message}\n`).join('')
}
