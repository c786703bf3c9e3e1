import type { AgentClient } from './agent-client.ts'
import type { CommandLine } from './command-line.ts'
import { jobLine, jobTable, type JobAnswer } from './job-text.ts'

interface LogAnswer {
  readonly dropped: number
  readonly lines: readonly { at: string; level: string; message: string; fields: Record<string, unknown> }[]
}

/** `jobs list|show|log|watch|cancel|retry`; returns the exit code: that of `watch` tells how the job ended. */
export async function jobsCommand(line: CommandLine, agent: AgentClient): Promise<number> {
  const action = line.argument('list')
  if (action === 'list') {
    const query = line.query('kind', 'state', 'resource', 'limit')
    line.end()
    const { jobs } = (await agent.call('GET', `/api/v1/jobs${query}`)) as { jobs: JobAnswer[] }
    line.print({ jobs }, () => jobTable(jobs))
    return 0
  }
  if (!['show', 'log', 'watch', 'cancel', 'retry'].includes(action)) return line.unknown(action)
  const path = `/api/v1/jobs/${encodeURIComponent(line.required('the id of a job'))}`
  line.end()
  switch (action) {
    case 'watch':
      return watchJob(path, line, agent)
    case 'log': {
      const log = (await agent.call('GET', `${path}/log`)) as LogAnswer
      line.print(log, () => logText(log))
      return 0
    }
    default: {
      const verb = {
        show: ['GET', path],
        cancel: ['POST', `${path}/cancel`],
        retry: ['POST', `${path}/retry`],
      } as const
      const [method, url] = verb[action as keyof typeof verb]
      const job = (await agent.call(method, url)) as JobAnswer
      line.print(job, () => `${jobTable([job])}${jobLine(job)}\n${detailText(job)}`)
      return 0
    }
  }
}

/** Shows how a job goes on until its end; 0 when it completed. */
export async function watchJob(path: string, line: CommandLine, agent: AgentClient): Promise<number> {
  let last: JobAnswer | undefined
  for await (const event of agent.events(`${path}/events`)) {
    const job = event as JobAnswer
    if (last === undefined || jobLine(last) !== jobLine(job)) line.print(job, () => `${jobLine(job)}\n`)
    last = job
  }
  return last?.state === 'completed' ? 0 : 1
}

function detailText({ details }: JobAnswer): string {
  return Object.entries(details)
    .filter(([, value]) => value !== '')
    .map(([key, value]) => `  ${key}: ${String(value)}\n`)
    .join('')
}

function logText({ dropped, lines }: LogAnswer): string {
  const head = dropped > 0 ? `(${dropped} older lines are gone)\n` : ''
  const text = lines.map(({ at, level, message, fields }) => {
    const facts = Object.entries(fields).map(([key, value]) => ` ${key}=${JSON.stringify(value)}`)
    return `${at} ${level.padEnd(5)} ${message}${facts.join('')}\n`
  })
  return head + text.join('')
}
