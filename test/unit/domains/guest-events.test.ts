import { describe, expect, test } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { deviceEvents } from '../../../src/domains/device-events.ts'
import { parseDomain } from '../../../src/domains/domain-info.ts'
import { GUEST_EVENTS, type AnyReading } from '../../../src/domains/guest-event-facts.ts'
import { GuestEvents } from '../../../src/domains/guest-events.ts'
import { EventLog } from '../../../src/events/event-log.ts'
import { uuidBytes } from '../../../src/libvirt/uuid.ts'

const VM = '11111111-1111-4111-8111-111111111111'
const domain = (devices: string) =>
  parseDomain(`<domain><name>web</name><uuid>${VM}</uuid><devices>${devices}</devices></domain>`)
const disk = (target: string, alias: string, device = 'disk') =>
  `<disk device='${device}'><source file='/pool/${target}.qcow2'/><target dev='${target}' bus='virtio'/><alias name='${alias}'/></disk>`
const facts = domain(disk('vda', 'virtio-disk0') + disk('sda', 'sata0-0-0', 'cdrom'))

describe('events of libvirt', () => {
  test.each([
    [
      'domain:IO_ERROR_REASON',
      { srcPath: '/pool/vda.qcow2', devAlias: 'virtio-disk0', action: 1, reason: 'enospc' },
      { type: 'IO_ERROR', disk: 'vda', metadata: { action: 'pause', reason: 'enospc' }, problem: 'io-error' },
    ],
    [
      'domain:IO_ERROR_REASON',
      { srcPath: '/pool/vda.qcow2', devAlias: 'unknown', action: 2, reason: '' },
      { disk: 'vda', metadata: { action: 'report', reason: 'I/O error' } },
    ],
    [
      'domain:BLOCK_THRESHOLD',
      { dev: 'vda', path: null, threshold: 5n, excess: 7n },
      { type: 'BLOCK_THRESHOLD', disk: 'vda', metadata: { threshold: '5', excess: '7' } },
    ],
    ['domain:WATCHDOG', { action: 2 }, { type: 'WATCHDOG', metadata: { action: 'reset' } }],
    ['domain:WATCHDOG', { action: 77 }, { metadata: { action: '77' } }],
    ['domain:AGENT_LIFECYCLE', { state: 1, reason: 2 }, { type: 'AGENT_CONNECTED' }],
    ['domain:AGENT_LIFECYCLE', { state: 2, reason: 2 }, { type: 'AGENT_DISCONNECTED' }],
    ['domain:TRAY_CHANGE', { devAlias: 'sata0-0-0', reason: 0 }, { type: 'TRAY_OPENED', disk: 'sda' }],
    ['domain:TRAY_CHANGE', { devAlias: 'sata0-0-0', reason: 1 }, { type: 'TRAY_CLOSED', disk: 'sda' }],
    ['domain:BALLOON_CHANGE', { actual: 2048n }, { type: 'BALLOON_CHANGED', text: 'it has 2 MiB of memory now' }],
    ['domain:DEVICE_REMOVAL_FAILED', { devAlias: 'virtio-disk0' }, { text: expect.stringContaining('device vda') }],
    ['domain:MEMORY_FAILURE', { recipient: 1, action: 2, flags: 0 }, { problem: 'memory-failure' }],
  ] as const)('%s', (name, payload, meaning) => {
    expect((GUEST_EVENTS[name] as AnyReading)(payload as never, facts)).toMatchObject(meaning)
  })

  test('are none when a VM starts, in whose guest nothing runs yet', () => {
    const read = GUEST_EVENTS['domain:AGENT_LIFECYCLE'] as AnyReading
    expect(read({ state: 2, reason: 1 } as never, facts)).toBeUndefined()
  })
})

describe('a disk that fails again and again', () => {
  async function failing(log = new EventLog(silentLogger)) {
    const listeners = new Map<string, (payload: never) => void>()
    const guests = new GuestEvents({
      client: {
        subscribe: (event, listener) => {
          listeners.set(event, listener)
          return Promise.resolve(() => Promise.resolve())
        },
      },
      events: log,
      log: silentLogger,
      factsOf: () => facts,
      changed: () => undefined,
    })
    await guests.start()
    const fail = (run = 3) =>
      listeners.get('domain:IO_ERROR_REASON')?.({
        dom: { name: 'web', uuid: uuidBytes(VM), id: run },
        srcPath: '/pool/vda.qcow2',
        devAlias: 'virtio-disk0',
        action: 2,
        reason: 'Input/output error',
      } as never)
    return { log, guests, fail }
  }

  test('is told a few times at once, and counted as one problem of the VM until that is off', async () => {
    const { log, guests, fail } = await failing()
    for (let i = 0; i < 500; i++) fail()
    expect(log.list({ vmId: VM }, 100)).toHaveLength(5)
    expect(guests.problemsOf(VM)).toMatchObject([{ kind: 'io-error', disk: 'vda', count: 500 }])
    guests.runEnded(VM)
    expect(guests.problemsOf(VM)).toEqual([])
  })

  test('is known after a restart of the agent, when it is the same run of the VM', async () => {
    const { log, fail } = await failing()
    fail(3)
    for (const [run, known] of [
      [3, 1],
      [4, 0],
    ] as const) {
      const { guests } = await failing(log)
      guests.restore(VM, run)
      expect(guests.problemsOf(VM)).toHaveLength(known)
    }
  })
})

test('devices that came and went are told, whoever changed them; another file below a disk is no other disk', () => {
  const nic = (mac: string) => `<interface type='user'><mac address='${mac}'/></interface>`
  const before = domain(disk('vda', 'a') + disk('vdb', 'b') + nic('52:54:00:00:00:01'))
  const after = domain(disk('vda', 'a').replace('vda.qcow2', 'overlay') + disk('vdc', 'b') + nic('52:54:00:00:00:02'))
  expect(deviceEvents(before, after).map(({ type, metadata }) => [type, metadata['disk'] ?? metadata['nic']])).toEqual([
    ['DISK_DETACHED', 'vdb'],
    ['DISK_ATTACHED', 'vdc'],
    ['NIC_DETACHED', '52:54:00:00:00:01'],
    ['NIC_ATTACHED', '52:54:00:00:00:02'],
  ])
  expect(deviceEvents(before, before)).toEqual([])
})
