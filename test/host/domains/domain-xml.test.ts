import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { domainXml } from '../../../src/domains/domain-xml.ts'
import { definition, definitionTable } from '../../unit/domains/definitions.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'

const run = promisify(execFile)
const missing = await requirePrerequisite('virt-xml-validate', missingCommand('virt-xml-validate'))

describe.skipIf(missing !== undefined)("libvirt's schema accepts the domain of", () => {
  let directory: string
  beforeAll(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'lqx-xml-'))
  })
  afterAll(() => rm(directory, { recursive: true, force: true }))

  const validate = async (xml: string) => {
    const file = path.join(directory, 'domain.xml')
    await writeFile(file, xml)
    await run('virt-xml-validate', [file, 'domain'])
  }

  test.each(definitionTable)('%s', async (_, given) => {
    await validate(domainXml(given))
  })

  test('no one, when an element is not of the format', async () => {
    await expect(
      validate(domainXml(definition()).replace('<vcpu', '<vcpus').replace('</vcpu>', '</vcpus>')),
    ).rejects.toThrow()
  })
})
