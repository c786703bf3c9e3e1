import { describe, expect, test } from 'vitest'
import { chooseCdrom, isNextCdrom } from '../../../src/domains/cdrom-choice.ts'
import type { DomainCdrom, DomainDisk } from '../../../src/domains/domain-info.ts'

const VM = '11111111-2222-4333-8444-555555555555'
const drive = (id: string, targetDev: string, role: DomainCdrom['role'] = 'user', path = ''): DomainCdrom => ({
  id,
  targetDev,
  role,
  path,
})
const SEED = drive('cloud-init', 'sdd', 'seed', '/seed.iso')
const disks = (count: number) => Array<DomainDisk>(count).fill({} as DomainDisk)
const choose = (device: string, cdroms: readonly DomainCdrom[], diskCount = 1) =>
  chooseCdrom({ vmId: VM, disks: disks(diskCount), cdroms }, device).id

describe('the CD-ROM drive that a request means', () => {
  const two = [drive('a', 'sdb', 'user', '/x.iso'), drive('b', 'sdc'), SEED]

  test('is named by id, by the rule of control planes, or by its name in the domain', () => {
    expect(choose('b', two)).toBe('b')
    expect(choose('sdb', two)).toBe('a')
    expect(choose('sdc', two)).toBe('b')
    expect(choose('sdb', [drive('x', 'sda'), drive('y', 'sdb')], 3)).toBe('y')
  })

  test('follows the number of disks when some came or went since the VM was made', () => {
    expect(choose('sdc', two, 2)).toBe('a')
    expect(choose('sdd', two, 2)).toBe('b')
    expect(choose('sda', two, 0)).toBe('a')
  })

  test('is the first empty one when none is named, else the first', () => {
    expect(choose('', two)).toBe('b')
    expect(choose('', [drive('a', 'sdb', 'user', '/x'), drive('b', 'sdc', 'user', '/y')])).toBe('a')
  })

  test('may be called hdX when there is no other', () => {
    expect(choose('hdc', [drive('a', 'sdb'), SEED])).toBe('a')
    expect(() => choose('hdc', two)).toThrow(/has a \(sdb\), b \(sdc\)$/)
  })

  test('is never the one with the seed', () => {
    for (const device of ['cloud-init', 'sdd', '', 'hda', 'sdb']) {
      expect(() => choose(device, [SEED]), device).toThrow(expect.objectContaining({ reason: 'CDROM_NOT_FOUND' }))
    }
  })

  test('may be one that is yet to be added: the next name, of a VM of ours, that no drive has', () => {
    const next = (device: string, cdroms: readonly DomainCdrom[], diskCount = 1, managed = true) =>
      isNextCdrom({ managed, disks: disks(diskCount), cdroms }, device)
    expect(next('sdd', two)).toBe(true)
    expect(next('sdb', [SEED])).toBe(true)
    expect(next('sdc', two)).toBe(false)
    expect(next('sde', two)).toBe(false)
    expect(next('hdd', two)).toBe(false)
    expect(next('sdd', two, 1, false)).toBe(false)
    expect(next('sdb', [drive('a', 'sdb')], 0)).toBe(false)
  })
})
