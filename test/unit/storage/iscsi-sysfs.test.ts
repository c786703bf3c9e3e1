import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { disksInUse, leadsTo, lunLink, readLun, readSessions } from '../../../src/storage/iscsi-sysfs.ts'
import type { IscsiTarget } from '../../../src/storage/iscsi-target.ts'

const target: IscsiTarget = { name: 'iqn.2025-01.rig:one', portal: { host: '10.0.0.5', port: 3260 } }

describe('iSCSI sessions in sysfs', () => {
  let root: string
  let sys: string
  const put = async (file: string, text: string) => {
    await mkdir(path.dirname(path.join(root, file)), { recursive: true })
    await writeFile(path.join(root, file), `${text}\n`)
  }
  const session = async (number: number, name: string, connection: Record<string, string>) => {
    await put(`sys/class/iscsi_session/session${number}/targetname`, name)
    await put(`sys/class/iscsi_session/session${number}/state`, 'LOGGED_IN')
    for (const [key, value] of Object.entries(connection)) {
      await put(`sys/class/iscsi_connection/connection${number}:0/${key}`, value)
    }
  }
  const lun = async (number: number, address: string, disk: string | undefined, state: string) => {
    const at = `sys/class/iscsi_session/session${number}/device/target${address.split(':').slice(0, 3).join(':')}/${address}`
    await put(`${at}/state`, state)
    if (disk === undefined) return
    await put(`${at}/block/${disk}/size`, '8')
    await put(`sys/block/${disk}/dev`, `8:${disk.charCodeAt(2)}`)
  }

  beforeEach(async () => {
    root = await mkdtemp(path.join(tmpdir(), 'lqx-sysfs-'))
    sys = `${root}/sys`
  })
  afterEach(() => rm(root, { recursive: true }))

  test('a host without the initiator has none', async () => {
    expect(await readSessions(sys)).toEqual([])
  })

  test('a session belongs to a target by name, address and port', async () => {
    const at = (address: string, port = '3260') => ({
      persistent_address: address,
      address: '10.0.0.5',
      persistent_port: port,
    })
    await session(1, target.name, at('10.0.0.5'))
    await session(2, 'iqn.2025-01.rig:one-more', at('10.0.0.5'))
    await session(3, target.name, at('10.0.0.5', '3261'))
    await session(4, target.name, { ...at('10.0.0.6'), address: '10.0.0.6' })
    await session(5, target.name, at('san.example'))
    const names = (await readSessions(sys)).filter((one) => leadsTo(one, target, [])).map(({ name }) => name)
    expect(names).toEqual(['session1', 'session5'])
    const byName = { ...target, portal: { host: 'san.example', port: 3260 } }
    const found = (await readSessions(sys)).filter((one) => leadsTo(one, byName, ['10.0.0.6']))
    expect(found.map(({ name }) => name)).toEqual(['session4', 'session5'])
  })

  test('the LUN that was asked for is taken, never another disk', async () => {
    await session(1, target.name, {})
    await lun(1, '2:0:0:1', 'sdb', 'running')
    await lun(1, '2:0:0:11', 'sdc', 'blocked')
    await lun(1, '2:0:0:16684', 'sdd', 'running')
    await lun(1, '2:0:0:5', undefined, 'running')
    expect(await readLun(sys, 'session1', 1)).toEqual({ disk: 'sdb', state: 'running' })
    expect(await readLun(sys, 'session1', 11)).toEqual({ disk: 'sdc', state: 'blocked' })
    expect(await readLun(sys, 'session1', 300)).toEqual({ disk: 'sdd', state: 'running' })
    expect(await readLun(sys, 'session1', 5)).toEqual({ disk: undefined, state: 'running' })
    expect(await readLun(sys, 'session1', 0)).toBeUndefined()
  })

  test('disks that are mapped or mounted, also by a partition, are in use', async () => {
    await session(1, target.name, {})
    for (const [index, disk] of ['sdb', 'sdc', 'sdd', 'sde'].entries()) await lun(1, `2:0:0:${index}`, disk, 'running')
    await put('sys/block/sdb/holders/dm-0/x', '')
    await put('sys/block/sdd/sdd1/holders/dm-1/x', '')
    await put('sys/block/sde/sde1/dev', '8:65')
    expect(await disksInUse(sys, 'session1', new Set(['8:65', '0:22']))).toEqual(['sdb', 'sdd', 'sde'])
  })

  test('the stable name counts once it leads to the disk of now', async () => {
    const directory = `${root}/dev/disk/by-path`
    await mkdir(directory, { recursive: true })
    const link = `${directory}/ip-10.0.0.5:3260-iscsi-${target.name}-lun-1`
    await symlink('../../sdb', link)
    await symlink('../../sdb1', `${link}-part1`)
    await symlink('../../sdc', `${directory}/ip-10.0.0.5:3260-iscsi-${target.name}-more-lun-1`)
    expect(await lunLink(`${root}/dev`, target, 'sdb')).toBe(link)
    expect(await lunLink(`${root}/dev`, target, 'sdc')).toBeUndefined()
    expect(await lunLink(`${root}/dev`, target, 'sdb1')).toBeUndefined()
  })
})
