import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { manifestName, readManifest, writeManifest } from '../../../../src/domains/backup/backup-manifest.ts'
import type { VmBackup } from '../../../../src/domains/backup/backup-record.ts'

const vmId = '6f1f9d3c-0d8e-4c3a-9d9b-0c0b5f6f2a11'
const backup: VmBackup = {
  vmId,
  name: 'nightly.1',
  vmName: 'web <1> "é"',
  poolId: 'pool-1',
  createdAt: 1_700_000_000_000,
  parent: '',
  checkpoint: 'backup-nightly.1',
  disks: [
    {
      diskId: 'root',
      targetDev: 'vda',
      volume: `backup-${vmId}-nightly.1-vda`,
      path: '/pool/somewhere.qcow2',
      sizeBytes: 1024,
      sha256: 'a'.repeat(64),
    },
  ],
  definition: '<domain>\n</domain>',
}
const name = manifestName(vmId, backup.name)

/** A manifest whose digest is right, whatever it says. */
function sealed(change: (content: Record<string, unknown>) => void): string {
  const envelope = JSON.parse(writeManifest(backup)) as { backup: Record<string, unknown>; sha256: string }
  change(envelope.backup)
  const sha256 = createHash('sha256').update(JSON.stringify(envelope.backup)).digest('hex')
  return JSON.stringify({ ...envelope, sha256 })
}

describe('the manifest of a backup', () => {
  test('says what was written, without the place and the name of the pool', () => {
    const { poolId: _pool, disks, ...rest } = backup
    const content = { ...rest, disks: disks.map(({ path: _path, ...disk }) => disk) }
    expect(readManifest(name, writeManifest(backup))).toEqual({ content })
  })

  test('is of a VM with any UUID that libvirt knows', () => {
    const odd = '6f1cbbd2-1c9f-0a3c-0a0e-0a9c64f7f001'
    const disks = backup.disks.map((disk) => ({ ...disk, volume: `backup-${odd}-nightly.1-vda` }))
    const reading = readManifest(manifestName(odd, backup.name), writeManifest({ ...backup, vmId: odd, disks }))
    expect(reading).toMatchObject({ content: { vmId: odd } })
  })

  test('is believed by its digest alone: every byte counts', () => {
    const text = writeManifest(backup)
    for (let at = 0; at < text.length; at++) {
      const other = text[at] === '7' ? '8' : '7'
      const reading = readManifest(name, text.slice(0, at) + other + text.slice(at + 1))
      // White space between values says nothing.
      if ('content' in reading) expect(reading).toEqual(readManifest(name, text))
      else expect(reading.problem).not.toBe('')
    }
    for (let length = 0; length < text.trimEnd().length; length++)
      expect(readManifest(name, text.slice(0, length))).toHaveProperty('problem')
  })

  test.each([
    ['is of a later version', writeManifest(backup).replace('"version": 1', '"version": 2'), 'version 2'],
    ['is none', '{"a": 1}', 'is none'],
    ['lacks something', sealed((content) => delete content['parent']), 'lacks'],
    ['was made at no time that there is', sealed((content) => (content['createdAt'] = 1e16)), 'lacks'],
    ['has a name that becomes a path', sealed((content) => (content['name'] = '../x')), 'lacks'],
    ['is that of another backup', sealed((content) => (content['name'] = 'other')), 'another backup'],
    [
      'names a volume that is not its own',
      sealed((content) =>
        (content['disks'] as Record<string, unknown>[]).forEach((disk) => (disk['volume'] = '../../etc/shadow')),
      ),
      'volumes of others',
    ],
  ])('that %s is not believed', (_what, text, problem) => {
    expect(readManifest(name, text)).toEqual({ problem: expect.stringContaining(problem) as string })
  })
})
