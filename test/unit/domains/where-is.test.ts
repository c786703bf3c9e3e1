import { expect, test, vi } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import type { MoveParts } from '../../../src/domains/move/move-request.ts'
import type { MovePlan } from '../../../src/domains/move/plan-move.ts'
import { whereIs, type MovePhase } from '../../../src/domains/move/where-is.ts'
import { AgentError } from '../../../src/core/errors.ts'

const VM = '6f1d0f0a-0000-4000-8000-000000000001'
const [OLD, NEW, OTHER] = ['/old/data.qcow2', '/new/data.qcow2', '/other/data.qcow2']
const file = (path: string) => ({ type: 'file', path, format: 'qcow2' }) as const
const plan: MovePlan = {
  diskId: 'data',
  vmName: 'web',
  target: 'vdb',
  bootable: false,
  source: file(OLD),
  leaves: { poolId: 'first', name: 'vms/web/data' },
  volume: { poolId: 'second', name: 'vms/web/data' },
  format: 'qcow2',
  sizeBytes: 1,
}
const ctx = { signal: new AbortController().signal, log: silentLogger }

// A VM as libvirt and QEMU tell of it; `qemu` absent: it is off.
const vm = ({ next, qemu }: { next: string; qemu?: string }) => {
  const disk = (path: string, target: string, alias: string) =>
    `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${path}'/><target dev='${target}' bus='virtio'/><alias name='${alias}'/></disk>`
  const xml = (path: string) =>
    `<domain><uuid>${VM}</uuid><name>web</name><devices>${disk('/old/root.qcow2', 'vda', 'virtio-disk0')}${disk(path, 'vdb', 'virtio-disk1')}</devices></domain>`
  const blocks = [
    { qdev: '/machine/peripheral/virtio-disk0/virtio-backend', inserted: { file: '/old/root.qcow2' } },
    { qdev: '/machine/peripheral/virtio-disk1/virtio-backend', inserted: { file: qemu } },
  ]
  const answers: Readonly<Record<string, unknown>> = {
    'remote:DOMAIN_GET_STATE': { state: qemu === undefined ? 5 : 1, reason: 0 },
    'remote:DOMAIN_GET_XML_DESC': { xml: xml(next) },
    'remote:DOMAIN_GET_BLOCK_IO_TUNE': { params: [], nparams: 13 },
    'qemu:DOMAIN_MONITOR_COMMAND': { result: JSON.stringify({ return: blocks }) },
  }
  const call = (name: string) => Promise.resolve(answers[name])
  return { client: { call } } as unknown as Pick<MoveParts, 'client'>
}

const look = (
  of: Parameters<typeof vm>[0],
  phase: MovePhase,
  sameBytes: () => Promise<boolean> = () => Promise.reject(new Error('must not be compared')),
  copy: string | undefined = NEW,
) => whereIs(VM, plan, { copy: copy === '' ? undefined : file(copy), phase, sameBytes }, vm(of), ctx)
const broken = (text: string) => ({ reason: 'DISK_CHAIN_BROKEN', message: expect.stringContaining(text) as string })

test.each([
  ['copying', OLD, 'source'],
  ['switching', OLD, 'source'],
  ['copying', NEW, 'copy'],
  ['switching', NEW, 'copy'],
  ['switched', NEW, 'copy'],
] as const)('of a guest that runs QEMU decides (%s, on %s)', async (phase, qemu, side) => {
  expect(await look({ next: OLD, qemu }, phase)).toMatchObject({ side, live: { alias: 'virtio-disk1' } })
})

test('a guest that had switched and runs with the old one is not decided about', async () => {
  await expect(look({ next: OLD, qemu: OLD }, 'switched')).rejects.toMatchObject(broken('started'))
})

test('a guest on the old one, whose next start would have the copy, is told of', async () => {
  expect(await look({ next: NEW, qemu: OLD }, 'copying')).toHaveProperty('strayed')
  expect(await look({ next: OLD, qemu: OLD }, 'copying')).not.toHaveProperty('strayed')
})

test.each([
  ['copying', NEW, 'copy'],
  ['switching', NEW, 'copy'],
  ['copying', OLD, 'source'],
  ['givingUp', OLD, 'source'],
  ['switched', OLD, 'copy'],
] as const)(
  'of a VM that is off the definition decides, and what was seen before (%s, next %s)',
  async (phase, next, side) => {
    expect(await look({ next }, phase)).toEqual({ side })
  },
)

test('a VM that went off in the switch: equal bytes leave the old one', async () => {
  const sameBytes = vi.fn(() => Promise.resolve(true))
  expect(await look({ next: OLD }, 'switching', sameBytes)).toEqual({ side: 'source' })
  expect(sameBytes).toHaveBeenCalledWith(file(NEW))
})

test('a VM that went off in the switch: different ones are not decided about, and named', async () => {
  const different = look({ next: OLD }, 'switching', () => Promise.resolve(false))
  await expect(different).rejects.toMatchObject(broken('differ'))
  for (const text of [OLD, NEW, 'pool first', 'pool second'])
    await expect(different).rejects.toMatchObject(broken(text))
})

test('a VM that went off in the switch: what cannot be read is not decided about; a pool that is away is waited for', async () => {
  const unreadable = () => Promise.reject(new AgentError('COMMAND_FAILED', 'qemu-img says no'))
  await expect(look({ next: OLD }, 'switching', unreadable)).rejects.toMatchObject(broken('qemu-img says no'))
  const away = () => Promise.reject(new AgentError('POOL_UNAVAILABLE', 'away'))
  await expect(look({ next: OLD }, 'switching', away)).rejects.toMatchObject({ reason: 'POOL_UNAVAILABLE' })
})

test('a definition that names neither is not taken for one of them, with or without a copy', async () => {
  await expect(look({ next: OTHER }, 'copying')).rejects.toMatchObject(broken(OTHER))
  await expect(look({ next: NEW }, 'copying', undefined, '')).rejects.toMatchObject(broken(NEW))
  expect(await look({ next: OLD }, 'copying', undefined, '')).toEqual({ side: 'source' })
})
