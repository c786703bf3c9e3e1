import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  finishWriting,
  readIdentityTexts,
  writeIdentity,
  type NewIdentity,
} from '../../../src/certificates/identity-files.ts'
import { readIdentity } from '../../../src/certificates/server-identity.ts'
import { TestAuthority } from '../../support/test-authority.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'

const skip = await requirePrerequisite('openssl', missingCommand('openssl'))
const WRITER = path.join(import.meta.dirname, '../../support/write-identities.ts')

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'lqx-identity-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

describe.skipIf(skip)('key and certificate on disk', () => {
  it('belong together after a kill at any instant', async () => {
    await using authority = await TestAuthority.create()
    const at = (file: string) => path.join(directory, 'certs', file)
    const paths = { cert: at('server.crt'), key: at('server.key'), ca: at('ca.crt') }
    const pairs = await Promise.all([authority.issue({ subject: '/CN=a' }), authority.issue({ subject: '/CN=b' })])
    const identities = pairs.map(({ key, cert }): NewIdentity => ({
      pair: { key, chain: cert, origin: 'uploaded' },
      ca: cert,
    }))
    const plan = path.join(directory, 'plan.json')
    await writeFile(plan, JSON.stringify({ paths, identities }))
    // On a slow disk all kills would else come before anything is written.
    const startedAt = performance.now()
    for (const identity of identities) await writeIdentity(paths, identity)
    const bothMs = performance.now() - startedAt
    await rm(path.join(directory, 'certs'), { recursive: true })
    let interrupted = 0
    for (let round = 0; round < 25; round++) {
      const writer = spawn(process.execPath, [WRITER, plan], { stdio: ['ignore', 'pipe', 'inherit'] })
      await once(writer.stdout, 'data')
      // Any instant will do: what is tested is that none is special.
      await pause(Math.random() * Math.max(40, bothMs))
      writer.kill('SIGKILL')
      await once(writer, 'close')
      if ((await readdir(path.join(directory, 'certs')).catch((): string[] => [])).includes('server.key.next'))
        interrupted++
      await finishWriting(paths)
      const { chain, key, ca, origin } = await readIdentityTexts(paths)
      if (chain === undefined || key === undefined) continue
      const { certificate } = readIdentity(chain, key, { chain: 'chain', key: 'key' })
      expect(ca?.trim()).toBe(String(certificate).trim())
      expect(origin).toBe('uploaded')
    }
    expect(interrupted).toBeGreaterThan(0)
  })

  it('are refused when they do not fit, without being quoted', async () => {
    await using authority = await TestAuthority.create()
    await using other = await TestAuthority.create('other')
    const [a, b] = await Promise.all([authority.issue(), other.issue()])
    const where = { chain: 'a.crt', key: 'b.key' }
    const refusal = (chain: string, key: string) => {
      try {
        readIdentity(chain, key, where)
        return 'accepted'
      } catch (error) {
        return (error as Error).message
      }
    }
    expect(refusal(a.cert, b.key)).toBe('b.key is not the private key of the first certificate in a.crt')
    expect(refusal(a.cert + other.cert, a.key)).toContain('CN=other did not issue the one before it')
    expect(refusal(a.cert + authority.cert, a.key)).toBe('accepted')
    expect(refusal('', a.key)).toBe('a.crt has no certificate in it; give it as PEM')
    expect(refusal(a.cert.replace('MII', 'AII'), a.key)).toBe('a.crt has a certificate in it that cannot be read')
    expect(refusal(a.cert, a.key.replace('PRIVATE', 'ENCRYPTED PRIVATE'))).toContain('protected by a passphrase')
    expect(refusal(a.cert, 'secret words')).toBe('b.key is not a private key in PEM form')
  })
})
