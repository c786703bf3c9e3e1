import { spawn } from 'node:child_process'
import { expect, test } from 'vitest'
import { ProcessOutput } from '../../../src/platform/process-output.ts'

const WRITE_BYTES = 8 * 1024
const WRITES = 1024

/** Writes numbered pieces, and computes for 200 microseconds before each: as fast as xz. */
const SLOW_WRITER = `
  const { writeSync } = require('node:fs')
  const piece = Buffer.alloc(${WRITE_BYTES})
  for (let index = 0; index < ${WRITES}; index++) {
    const until = process.hrtime.bigint() + 200_000n
    while (process.hrtime.bigint() < until);
    piece.fill(index % 251)
    for (let done = 0; done < piece.length;) done += writeSync(1, piece, done)
  }
`

test('a child that writes little at once, and not fast, is not read after each of its writes', async () => {
  const output = await ProcessOutput.open()
  spawn(process.execPath, ['-e', SLOW_WRITER], { stdio: ['ignore', output.theirs, 'inherit'] })
  output.theirs.destroy()
  const pieces: Buffer[] = []
  for await (const piece of output.bytes) pieces.push(Buffer.from(piece))
  const bytes = Buffer.concat(pieces)
  const expected = Buffer.alloc(WRITES * WRITE_BYTES)
  for (let index = 0; index < WRITES; index++)
    expected.fill(index % 251, index * WRITE_BYTES, (index + 1) * WRITE_BYTES)
  expect(bytes.equals(expected)).toBe(true)
  expect(pieces.length).toBeLessThan(WRITES / 2)
})
