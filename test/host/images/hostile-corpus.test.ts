import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { isAgentError } from '../../../src/core/errors.ts'
import { REFUSALS } from '../../../src/images/formats/refusal.ts'
import { ImageInspector } from '../../../src/images/inspect.ts'
import { WorkerProcess } from '../../../src/platform/workers.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'
import { makeBases } from './corpus/bases.ts'
import type { Bases } from './corpus/hostile-image.ts'
import { hostileOthers } from './corpus/hostile-others.ts'
import { hostileQcow2 } from './corpus/hostile-qcow2.ts'
import { hostileVdi } from './corpus/hostile-vdi.ts'
import { hostileVhdx } from './corpus/hostile-vhdx.ts'
import { hostileVmdk } from './corpus/hostile-vmdk.ts'
import { hostileVpc } from './corpus/hostile-vpc.ts'

const missing =
  (await requirePrerequisite('qemu-img', missingCommand('qemu-img'))) ??
  (await requirePrerequisite('genisoimage', missingCommand('genisoimage')))
const ctx = { signal: new AbortController().signal, log: silentLogger }
const corpus = [hostileQcow2, hostileVmdk, hostileVhdx, hostileVpc, hostileVdi, hostileOthers].flat()

describe.skipIf(missing !== undefined)('hostile images', () => {
  const worker = new WorkerProcess('storage', 'hostile-corpus', silentLogger)
  const inspector = new ImageInspector(worker)
  let directory: string
  let bases: Bases

  beforeAll(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'lqx-hostile-'))
    bases = await makeBases(directory)
  })
  afterAll(async () => {
    worker.close()
    await rm(directory, { recursive: true })
  })
  const verdict = async (file: string) => {
    const error: unknown = await inspector.judge(file, 'whole', ctx).catch((failure: unknown) => failure)
    return isAgentError(error) ? `${error.reason} ${error.details['refusal'] ?? error.message}` : error
  }

  it('are many, each once', () => {
    expect(corpus.length).toBeGreaterThanOrEqual(150)
    expect(new Set(corpus.map(({ name }) => name)).size).toBe(corpus.length)
  })

  it.each(Object.keys(REFUSALS))('there is one for %s', (code) => {
    // The others need other means than bytes in a file.
    const elsewhere = ['NOT_A_FILE', 'FORMAT_NOT_TAKEN', 'QEMU_DISAGREES']
    expect([...corpus.map(({ refusal }) => refusal as string), ...elsewhere]).toContain(code)
  })

  it.each(corpus)('$name is refused with $refusal', async ({ make, refusal }) => {
    const file = path.join(directory, 'hostile')
    await writeFile(file, make(bases))
    const reason = refusal === 'NOT_AN_IMAGE' ? 'IMAGE_NOT_AN_IMAGE' : 'IMAGE_REFUSED'
    expect(await verdict(file)).toBe(`${reason} ${refusal}`)
  })

  it('what is no file is refused, without waiting', async () => {
    await promisify(execFile)('mkfifo', [path.join(directory, 'fifo')])
    for (const name of ['fifo', 'tree']) {
      expect(await verdict(path.join(directory, name))).toBe('IMAGE_REFUSED NOT_A_FILE')
    }
  })

  it('a good image that no VM can use as it is, is refused where a disk is asked for', async () => {
    const wait = inspector.inspect(path.join(directory, 'vmdk'), ctx)
    await expect(wait).rejects.toMatchObject({
      reason: 'IMAGE_NOT_AN_IMAGE',
      details: { refusal: 'FORMAT_NOT_TAKEN' },
    })
  })
})
