import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { connect, createServer, type AddressInfo, type Server } from 'node:net'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { MigrationTarget } from '../../../src/domains/migration/messages.ts'
import { TestAuthority } from '../../support/test-authority.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import { POOL, vmFiles, within } from './agent-fixture.ts'
import { echoes, migrate, migrationTo, SHARED, stateOn } from './migration-host.ts'
import { MigrationPair } from './migration-pair.ts'
import { configureQemu, downLibvirtd, upLibvirtd } from './private-libvirtd.ts'

const run = promisify(execFile)
const missing = await requirePrerequisite('libvirt', missingLibvirt)
/** Below the directory of a private libvirt, and as QEMU sees it. */
const OUTSIDE = 'etc/pki'
const INSIDE = '/etc/libvirt/pki'
/** How QEMU's own stream begins, and a record of TLS that carries a handshake. */
const PLAIN = Buffer.from('QEVM')
const HANDSHAKE = Buffer.from([0x16, 0x03])

/** Stands between two QEMUs, and keeps what the source sends first. */
class Wire implements AsyncDisposable {
  readonly #servers: Server[] = []
  /** One for each connection. */
  readonly beginnings: Buffer[] = []

  readonly around = (target: MigrationTarget): MigrationTarget => ({
    ...target,
    prepare: async (...args) => {
      const prepared = await target.prepare(...args)
      const port = Number(/:(\d+)$/.exec(prepared.uri)?.[1])
      return { ...prepared, uri: `tcp://127.0.0.1:${await this.#relay(port)}` }
    },
  })

  async #relay(port: number): Promise<number> {
    const server = createServer((source) => {
      const target = connect(port, '127.0.0.1')
      source.once('data', (bytes: Buffer) => this.beginnings.push(Buffer.from(bytes)))
      for (const [one, other] of [
        [source, target],
        [target, source],
      ] as const) {
        one.pipe(other)
        one.on('error', () => other.destroy())
      }
    })
    this.#servers.push(server)
    await once(server.listen(0, '127.0.0.1'), 'listening')
    return (server.address() as AddressInfo).port
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of this.#servers) await once(server.close(), 'close')
  }
}

describe.skipIf(missing !== undefined)('a running VM that moves over TLS', () => {
  let pair: MigrationPair
  let authority: TestAuthority
  let stranger: TestAuthority
  let libvirt: Readonly<Record<'a' | 'b', string>>

  /** Gives a host certificates: one to be reached by, and one to reach others with. */
  const certify = async (side: 'a' | 'b', by: TestAuthority, trusted = by) => {
    const directory = path.join(libvirt[side], OUTSIDE)
    await rm(directory, { recursive: true, force: true })
    await mkdir(directory, { recursive: true })
    const [server, client] = [await by.issue({ altNames: 'IP:127.0.0.1' }), await by.issue()]
    const files = {
      'ca-cert.pem': trusted.cert,
      'server-cert.pem': server.cert,
      'server-key.pem': server.key,
      'client-cert.pem': client.cert,
      'client-key.pem': client.key,
    }
    for (const [name, text] of Object.entries(files))
      await writeFile(path.join(directory, name), text, { mode: name.endsWith('-key.pem') ? 0o600 : 0o644 })
    await run('chown', ['-R', 'libvirt-qemu:', directory])
  }

  beforeAll(async () => {
    ;[authority, stranger] = [await TestAuthority.create(), await TestAuthority.create('another authority')]
    const own = await upLibvirtd()
    pair = await MigrationPair.up(own)
    libvirt = pair.libvirt
    for (const side of ['a', 'b'] as const) {
      await certify(side, authority)
      const lines = `migrate_tls_x509_cert_dir = "${INSIDE}"\nmigrate_tls_x509_verify = 1\n`
      await configureQemu(libvirt[side], lines)
    }
  }, 180_000)
  afterAll(async () => {
    await pair.down()
    await downLibvirtd(libvirt.a)
    await authority[Symbol.asyncDispose]()
    await stranger[Symbol.asyncDispose]()
  })

  /** The hosts anew, of which the source encrypts or does not. */
  const hosts = async (options: { tls: boolean; wire: Wire }) => {
    await pair.close('a')
    const a = await pair.host('a', { tls: options.tls, aroundTarget: options.wire.around })
    return { a, b: await pair.host('b') }
  }

  test.each([
    ['encrypted', true, HANDSHAKE],
    ['readable by all without it', false, PLAIN],
  ])('what goes over the network is %s', async (_what, tls, beginning) => {
    await using wire = new Wire()
    const { a, b } = await hosts({ tls, wire })
    const vmId = await pair.running('a', SHARED)
    await migrate(a, migrationTo(b, vmId))
    expect([await stateOn(a, vmId), await stateOn(b, vmId)]).toEqual(['absent', 'RUNNING'])
    expect(wire.beginnings.map((bytes) => bytes.subarray(0, beginning.length))).toEqual([beginning])
    expect(await echoes(b, vmId, 't')).toBe(true)
    await b.vms.delete(vmId, within())
  })

  test('with a copy of its disks it arrives too', async () => {
    await using wire = new Wire()
    const { a, b } = await hosts({ tls: true, wire })
    const vmId = await pair.running('a', POOL)
    await migrate(a, migrationTo(b, vmId, { copyStorage: true }))
    expect([await stateOn(a, vmId), await stateOn(b, vmId)]).toEqual(['absent', 'RUNNING'])
    await b.vms.delete(vmId, within())
  })

  type Case = [string, () => Promise<void>, string]
  const without = (side: 'a' | 'b', file: string) => rm(path.join(libvirt[side], OUTSIDE, file))
  const cases: Case[] = [
    ['the target shows a certificate of a stranger', () => certify('b', stranger), 'do not take each other'],
    ['the target has no certificate', () => without('b', 'server-cert.pem'), 'certificates of the target host'],
    ['the target has no authority', () => without('b', 'ca-cert.pem'), `${INSIDE}/ca-cert.pem`],
    ['the source has no certificate to show', () => without('a', 'client-cert.pem'), 'do not take each other'],
    ['the source has no authority', () => without('a', 'ca-cert.pem'), 'certificates of this host'],
  ]

  test('it stays where it is, and the job says what is wrong, while certificates are missing or of others', async () => {
    await using wire = new Wire()
    const { a, b } = await hosts({ tls: true, wire })
    const vmId = await pair.running('a', SHARED)
    const before = await vmFiles(b)
    for (const [what, spoil, text] of cases) {
      await spoil()
      const failed = migrate(a, migrationTo(b, vmId))
      await expect(failed, what).rejects.toMatchObject({
        reason: 'MIGRATION_FAILED',
        message: expect.stringContaining(text),
      })
      await expect(failed, what).rejects.toThrow('migrate_tls_x509_cert_dir')
      expect([await stateOn(a, vmId), await stateOn(b, vmId)], what).toEqual(['RUNNING', 'absent'])
      for (const side of ['a', 'b'] as const) await certify(side, authority)
    }
    expect(await echoes(a, vmId, 's')).toBe(true)
    expect(await vmFiles(b)).toEqual(before)
    // Not a byte of any of them was readable.
    for (const beginning of wire.beginnings) expect(beginning.subarray(0, 2)).toEqual(HANDSHAKE)
    await migrate(a, migrationTo(b, vmId))
    expect(await echoes(b, vmId, 'm')).toBe(true)
    await b.vms.delete(vmId, within())
  })
})
