import { expect, test } from 'vitest'
import { VM_ID } from '../grpc/fake-services.ts'
import { startCliRig } from './cli-rig.ts'

test('the lifetime of an export is a number of seconds; what cannot be one opens no export', async () => {
  const { run, calls } = await startCliRig()
  const open = (...args: string[]) => run('backups', 'export', VM_ID, ...args)

  for (const lifetime of ['7d', '', '0', '-1', '1.5', '1e3', ' 60', 'Infinity'])
    await expect(open(`--lifetime=${lifetime}`)).rejects.toMatchObject({ reason: 'USAGE' })
  expect(calls).toEqual([])
  expect((await open('--lifetime', '3600')).code).toBe(0)
  expect((await open()).code).toBe(0)
  expect(calls.map(({ args }) => args[1])).toMatchObject([{ lifetimeSeconds: 3600 }, {}])
})

test.each<[string, string[], string, unknown[]]>([
  ['list', [], 'listVmBackups', []],
  ['create', ['--pool', 'pool-1', '--name', 'b'], 'createVmBackup', []],
  ['restore', ['b', '--pool', 'pool-1', '--name', 'old'], 'restoreVmBackup', ['b']],
  ['rm', ['b'], 'deleteVmBackup', ['b']],
  ['export', [], 'openVmExport', []],
  ['exports', [], 'listVmExports', []],
  ['end', ['e', '--complete'], 'endVmExport', ['e', true]],
  ['forget', ['e'], 'forgetVmExport', ['e']],
])('backups %s takes a VM by its name or its id', async (action, more, method, args) => {
  const { run, calls } = await startCliRig()
  const asked = () => calls.findLast((call) => call.method === method)
  for (const vm of ['web-1', VM_ID]) {
    calls.splice(0)
    expect((await run('backups', action, vm, ...more)).code).toBe(0)
    expect(asked()?.args.slice(0, args.length + 1)).toEqual([VM_ID, ...args])
  }
})

test('an id is not looked up: a VM that is gone has backups too', async () => {
  const gone = '0f5d0a52-3d39-4d3c-9d3d-0d7c1f6a2b10'
  const { run, calls } = await startCliRig({ vms: { list: () => Promise.reject(new Error('libvirt is away')) } })
  expect((await run('backups', 'list', gone)).code).toBe(0)
  expect(calls.map(({ method, args }) => [method, args[0]])).toEqual([['listVmBackups', gone]])
})
