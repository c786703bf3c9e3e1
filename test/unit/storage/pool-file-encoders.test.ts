import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isoTime } from '../../../src/core/iso-time.ts'
import type { PoolFile } from '../../../src/core/model.ts'
import { serialized, withRecords } from '../../../src/grpc/encoded-records.ts'
import { loadNodeDaemonService } from '../../../src/grpc/load-service.ts'
import { encodeFilesAsRecords } from '../../../src/grpc/pool-file-records.ts'
import { encodeFilesAsJson } from '../../../src/http/pool-file-text.ts'

const name = fc.oneof(
  fc.string({ unit: 'binary', minLength: 1 }),
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 200 }),
  fc.constantFrom('a.qcow2', '"\\\n\u0000', 'ä', '💾'.repeat(60), '\ufffd'),
)
const file = fc.record({
  name,
  path: name,
  isDirectory: fc.boolean(),
  sizeBytes: fc.oneof(fc.maxSafeNat(), fc.constantFrom(0, 127, 128, 2 ** 32, Number.MAX_SAFE_INTEGER)),
  modifiedAt: fc.integer({ min: -8.64e15, max: 8.64e15 }),
  fileType: fc.constantFrom('directory', 'qcow2', '', 'é'),
  permissions: fc.constantFrom('644', '4755', '0'),
}) satisfies fc.Arbitrary<PoolFile>

const asSent = (files: readonly PoolFile[]) =>
  files.map(({ sizeBytes, modifiedAt, ...rest }) => ({
    ...rest,
    sizeBytes: rest.isDirectory ? 0 : sizeBytes,
    modifiedAt: new Date(modifiedAt).toISOString(),
  }))

test('entries as JSON are what JSON says of them', () => {
  fc.assert(
    fc.property(fc.array(file), (files) => {
      expect(JSON.parse(`[${encodeFilesAsJson(files).toString()}]`)).toEqual(asSent(files))
    }),
  )
})

test('entries as records are read by a client as the fields they are, before and behind the other fields', () => {
  const { responseSerialize, responseDeserialize } = loadNodeDaemonService().service.ListStoragePoolFiles
  fc.assert(
    fc.property(fc.array(file), fc.array(file), (one, other) => {
      const answer = withRecords({ currentPath: 'a b', total: 70_000 }, [one, other].map(encodeFilesAsRecords))
      const read = responseDeserialize(serialized(answer, responseSerialize as (message: unknown) => Buffer))
      expect(read).toMatchObject({ currentPath: 'a b', total: 70_000, entries: asSent([...one, ...other]) })
    }),
  )
})

test('times are those of Date, far outside of our time too', () => {
  fc.assert(
    fc.property(fc.integer({ min: -8.64e15, max: 8.64e15 }), (ms) => {
      expect(isoTime(ms)).toBe(new Date(ms).toISOString())
    }),
    { examples: [[0], [-1], [86_399_999], [86_400_000], [8.64e15], [-8.64e15]] },
  )
  expect([NaN, Infinity, 1.9].map(isoTime)).toEqual([
    '1970-01-01T00:00:00.000Z',
    '+275760-09-13T00:00:00.000Z',
    '1970-01-01T00:00:00.001Z',
  ])
})
