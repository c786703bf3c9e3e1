import { readFile, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { JoinTokens } from '../../../src/controlplane/join-tokens.ts'
import { openStateStore } from '../../../src/platform/state-store.ts'

const HOUR_MS = 3_600_000
const WRONG = 'QUANTIX-AAAA-AAAA-AAAA'

let directory: string
/** Wall clock and monotonic clock of the host. */
let wall: number
let up: number

beforeEach(async () => {
  directory = await mkdtemp(path.join(os.tmpdir(), 'lqx-token-'))
  wall = 1_700_000_000_000
  up = 5_000
})
afterEach(() => rm(directory, { recursive: true }))

async function start(): Promise<JoinTokens> {
  const store = openStateStore(directory, silentLogger).collection<never>('join-tokens')
  const tokens = new JoinTokens({ store, now: () => wall, monotonic: () => up })
  await tokens.load()
  return tokens
}

function pass(ms: number): void {
  wall += ms
  up += ms
}

async function outcome(tokens: JoinTokens, token: string): Promise<string> {
  return tokens.check(token).then(
    () => 'good',
    (error: unknown) => (error as { reason: string }).reason,
  )
}

test('a token can be presented any number of times until it is used', async () => {
  const tokens = await start()
  expect(await outcome(tokens, WRONG)).toBe('TOKEN_MISSING')
  const { token, expiresInSeconds, expiresAt } = await tokens.create()
  expect(token).toMatch(/^QUANTIX(-[A-Z2-7]{4}){3}$/)
  expect({ expiresInSeconds, expiresAt }).toEqual({ expiresInSeconds: 3600, expiresAt: wall + HOUR_MS })
  pass(1_000)
  expect(await tokens.check(token)).toMatchObject({ expiresInSeconds: 3599 })
  expect(await outcome(tokens, ` ${token.toLowerCase()} `)).toBe('good')
  await tokens.consume()
  expect(await outcome(tokens, token)).toBe('TOKEN_INVALID')
})

test('a new token replaces the one before', async () => {
  const tokens = await start()
  const first = await tokens.create()
  const second = await tokens.create(4)
  expect(second.token).toMatch(/^QUANTIX(-[A-Z2-7]{4}){4}$/)
  expect(await outcome(tokens, first.token)).toBe('TOKEN_INVALID')
  expect(await outcome(tokens, second.token)).toBe('good')
})

test('a token ends after an hour that really passed, whatever the wall clock does, and says so apart from a wrong one', async () => {
  const tokens = await start()
  const { token } = await tokens.create()
  wall += HOUR_MS
  expect(await outcome(tokens, token)).toBe('good')
  wall -= 2 * HOUR_MS
  pass(HOUR_MS - 1)
  expect(await outcome(tokens, token)).toBe('good')
  pass(1)
  const ended = await tokens.check(token).catch((error: unknown) => String(error))
  expect(ended).toMatch(/expired/)
  const wrong = await tokens.check(WRONG).catch((error: unknown) => String(error))
  expect(wrong).not.toMatch(/expired/i)
  await tokens.consume()
  const used = await tokens.check(token).catch((error: unknown) => String(error))
  expect(used).not.toMatch(/expired/i)
})

test('a restart changes nothing, and the token itself is nowhere on disk', async () => {
  const { token } = await (await start()).create()
  const [name = ''] = await readdir(path.join(directory, 'join-tokens'))
  const file = path.join(directory, 'join-tokens', name)
  expect(await readFile(file, 'utf8')).not.toContain(token.slice('QUANTIX-'.length))
  expect((await stat(file)).mode & 0o777).toBe(0o600)

  pass(HOUR_MS / 2)
  const second = await start()
  expect(await second.check(token)).toMatchObject({ expiresInSeconds: 1800 })
  await second.consume()
  expect(await outcome(await start(), token)).toBe('TOKEN_INVALID')
})

test('a clock that was set back does not keep a token alive over a restart', async () => {
  const { token } = await (await start()).create()
  wall -= 10 * HOUR_MS
  const second = await start()
  pass(HOUR_MS)
  expect(await outcome(second, token)).toBe('TOKEN_EXPIRED')
})

test('wrong tokens cost more and more time, for everybody, over a restart too, until a new token is made', async () => {
  const tokens = await start()
  const { token } = await tokens.create()
  const guesses = await Promise.all(Array.from({ length: 7 }, () => outcome(tokens, WRONG)))
  expect(guesses.filter((reason) => reason === 'TOKEN_INVALID')).toHaveLength(5)
  expect(guesses.slice(5)).toEqual(['TOKEN_ATTEMPTS', 'TOKEN_ATTEMPTS'])
  expect(await outcome(tokens, token)).toBe('TOKEN_ATTEMPTS')
  pass(1_000)
  expect(await outcome(tokens, WRONG)).toBe('TOKEN_INVALID')
  pass(1_000)
  expect(await outcome(tokens, token)).toBe('TOKEN_ATTEMPTS')
  const refused = await tokens.check(token).catch((error: unknown) => error)
  expect(refused).toMatchObject({ details: { retryAfterMs: '1000' } })

  const second = await start()
  expect(await outcome(second, token)).toBe('TOKEN_ATTEMPTS')
  pass(2_000)
  expect(await outcome(second, token)).toBe('good')
  expect(await outcome(second, WRONG)).toBe('TOKEN_INVALID')
  const { token: next } = await second.create()
  expect(await outcome(second, next)).toBe('good')
})
