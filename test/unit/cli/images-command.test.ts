import { expect, test } from 'vitest'
import { anyJob } from '../grpc/fake-services.ts'
import { startCliRig } from './cli-rig.ts'

const URL = 'https://images.example.org/disk.qcow2'

test('a download asks for the connections that are given, and leaves them to the agent without', async () => {
  const { run, calls } = await startCliRig({ jobs: { get: () => anyJob } })
  const asked = () => calls.findLast(({ method }) => method === 'download')?.args[0]
  expect((await run('images', 'download', URL, '--connections', '4')).code).toBe(0)
  expect(asked()).toMatchObject({ url: URL, connections: 4 })
  expect((await run('images', 'download', 'debian-13')).code).toBe(0)
  expect(asked()).toMatchObject({ catalogId: 'debian-13' })
  expect(asked()).not.toHaveProperty('connections')
})

test.each(['many', '', '0', '-1', '1.5', '4 '])('with %j connections nothing is asked', async (connections) => {
  const { run, calls } = await startCliRig()
  await expect(run('images', 'download', URL, `--connections=${connections}`)).rejects.toMatchObject({
    reason: 'USAGE',
    message: expect.stringMatching(/--connections .* from 1 to 8, not/),
  })
  expect(calls).toEqual([])
})
