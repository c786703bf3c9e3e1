import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { NodeRecords, recordText } from '../../../src/storage/iscsi-node-record.ts'
import type { IscsiTarget } from '../../../src/storage/iscsi-target.ts'

const target: IscsiTarget = { name: 'iqn.2025-01.rig:one', portal: { host: '10.0.0.5', port: 3260 } }
const chap = { user: 'user', password: 'secret-word' }

describe('node records of open-iscsi', () => {
  let etc: string
  let records: NodeRecords
  const file = () => `${etc}/nodes/${target.name}/10.0.0.5,3260`
  const everything = async () => (await readdir(etc, { recursive: true })).sort()

  beforeEach(async () => {
    etc = await mkdtemp(path.join(tmpdir(), 'lqx-iscsi-'))
    records = new NodeRecords(etc)
  })
  afterEach(() => rm(etc, { recursive: true }))

  test('a record with its secret is for root alone, and leaves nothing when it goes', async () => {
    await records.write(target, chap)
    expect((await stat(file())).mode & 0o777).toBe(0o600)
    expect((await stat(path.dirname(file()))).mode & 0o777).toBe(0o700)
    expect(await readFile(file(), 'utf8')).toContain('node.session.auth.password = secret-word\n')
    await records.remove(target)
    expect(await everything()).toEqual(['nodes'])
    await records.remove(target)
  })

  test('settings of the host count, but neither its credentials nor what the agent relies on', () => {
    const conf = [
      '# node.session.queue_depth = 1',
      'node.session.queue_depth = 64',
      'node.startup = automatic',
      'node.session.auth.username = other',
      'node.session.auth.password = other-secret',
      'discovery.sendtargets.auth.password = more',
      'iscsid.startup = x',
    ].join('\n')
    const lines = recordText(target, undefined, conf).split('\n')
    expect(lines).toContain('node.session.queue_depth = 64')
    expect(lines).toContain('node.startup = manual')
    expect(lines).toContain('node.session.auth.authmethod = None')
    expect(lines.join('\n')).not.toMatch(/other|more|iscsid\.startup|automatic/)
  })

  test('records of others at the portal make way for a login, and come back byte for byte', async () => {
    const other = `${etc}/nodes/${target.name}/10.0.0.5,3260,1/default`
    const elsewhere = `${etc}/nodes/${target.name}/10.0.0.5,32600,1/default`
    for (const place of [other, elsewhere]) {
      await mkdir(path.dirname(place), { recursive: true })
      await writeFile(place, `# of the admin, ${place}\n`)
    }
    const before = await records.present(target)
    expect(before).toEqual([{ file: other, text: `# of the admin, ${other}\n` }])
    await records.write(target, chap)
    const [mine, ...more] = await records.present(target)
    expect(more).toEqual([])
    expect(mine && records.isMine(mine, target)).toBe(true)
    await records.remove(target)
    await records.restore(before)
    expect(await readFile(other, 'utf8')).toBe(`# of the admin, ${other}\n`)
    expect(await readFile(elsewhere, 'utf8')).toBe(`# of the admin, ${elsewhere}\n`)
  })
})
