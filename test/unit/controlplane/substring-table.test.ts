import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { heartbeatRequest } from '../../../src/controlplane/heartbeat.ts'
import { AgentError } from '../../../src/core/errors.ts'
import { REASONS, type Reason } from '../../../src/core/reasons.ts'
import { toStatus } from '../../../src/grpc/status.ts'
import { errorBody } from '../../../src/http/status.ts'
import {
  asksForPoolAgain,
  countsAsAbsent,
  countsAsPoolReady,
  countsAsStopped,
  isPoolPrecondition,
  isUiTrigger,
} from '../../control-plane/substring-rules.ts'
import { onTheWire } from '../../control-plane/wire-error.ts'
import { LOAD, pool } from './link-fixture.ts'

const ALL = Object.keys(REASONS) as Reason[]
const MISSING = ALL.filter((reason) => REASONS[reason].code === 'NOT_FOUND')

/** Every rule of contract 1.5 with the reasons it must fire for: for all the others it must not. */
const RULES: readonly (readonly [rule: string, fires: (text: string) => boolean, for_: readonly Reason[]])[] = [
  ['a push that counts as success', countsAsPoolReady, []],
  // grpc-go spells the status NotFound: every missing object sends the pool again, which is harmless.
  ['a pool that is sent again', asksForPoolAgain, MISSING],
  ['a pool with a missing precondition', isPoolPrecondition, []],
  ['a VM that is recorded as stopped', countsAsStopped, ['VM_NOT_FOUND']],
  ['a VM that is taken to be absent', countsAsAbsent, ['VM_NOT_FOUND', 'POOL_NOT_FOUND']],
  ['an error code of the user interface', isUiTrigger, ['VM_NOT_FOUND']],
]

// The worst that tools, kernels and names can put into a text.
const WORDS =
  'File exists; already mounted; command not found; NotFound; nodomain; Domain not found; VM not found; node not found; ' +
  'no mount path; failed_precondition; failed to connect to node daemon; pool p not found'

/** What the agent itself says at the head of a message where the words are the meaning, and a hostile rest. */
function hostile(reason: Reason): AgentError {
  const head: Partial<Record<Reason, string>> = { VM_NOT_FOUND: 'VM not found: v', POOL_NOT_FOUND: 'pool p not found' }
  return new AgentError(reason, `${head[reason] ?? 'it failed'} ${WORDS}`, { details: { cause: WORDS } })
}

describe('the words that control planes act on, over every reason of an error', () => {
  it.each(RULES)('%s: said where it is meant, and nowhere else', (_rule, fires, wanted) => {
    const firing = ALL.filter((reason) => fires(onTheWire(hostile(reason))))
    expect(firing.sort()).toEqual([...wanted].sort())
    // Without the agent's own head the words are somebody else's, also under the reasons that may say them.
    const quoted = ALL.filter((reason) => fires(onTheWire(new AgentError(reason, `it failed: ${WORDS}`))))
    expect(quoted.sort()).toEqual(fires('code = NotFound') ? [...MISSING].sort() : [])
  })

  const firing = (text: string) => RULES.filter(([, fires]) => fires(text)).map(([rule]) => rule)

  it('are in no body of an HTTP answer but those of a missing VM and a missing pool', () => {
    const said = ALL.map((reason) => [reason, firing(errorBody(hostile(reason)).message).length] as const)
    expect(Object.fromEntries(said.filter(([, count]) => count > 0))).toEqual({ VM_NOT_FOUND: 4, POOL_NOT_FOUND: 2 })
  })

  it('are not in the facts beside an error', () => {
    for (const reason of ALL) {
      const facts = toStatus(hostile(reason), 'id').metadata.get('grpc-status-details-bin')[0]?.toString('latin1') ?? ''
      const [, beside = ''] = facts.split('google.rpc.ErrorInfo')
      expect(beside).toContain('cause')
      expect(firing(beside)).toEqual([])
    }
  })

  it('are not in what a heartbeat says of a pool', () => {
    const pools = [pool('p', 'ERROR', { message: WORDS, reason: 'POOL_UNAVAILABLE' })]
    const source = { load: () => LOAD, pools: () => pools, runningVmCount: () => 0 }
    const missingPools = () => [{ poolId: 'q', message: WORDS }]
    for (const { errorMessage } of heartbeatRequest('n', { ...source, missingPools }).storagePools)
      expect(firing(errorMessage)).toEqual([])
  })
})

// What the rules above take for granted: the agent says the words the same way wherever it means them.
it('a missing VM or pool is named in the words of the contract wherever the agent says so', () => {
  const root = path.join(import.meta.dirname, '../../../src')
  const said = (readdirSync(root, { recursive: true }) as string[])
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) => [
      ...readFileSync(path.join(root, file), 'utf8').matchAll(
        /new AgentError\(\s*'(VM_NOT_FOUND|POOL_NOT_FOUND)',\s*(.{0,40})/gs,
      ),
    ])
  expect(said.length).toBeGreaterThanOrEqual(2)
  for (const [, reason, text] of said)
    expect(text).toMatch(reason === 'VM_NOT_FOUND' ? /^`VM not found: \$\{/ : /^`pool \$\{\w+\} not found/)
})
