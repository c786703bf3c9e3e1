import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { buildSeedDocuments, hostnameOf } from '../../../src/cloudinit/documents.ts'
import { AgentError } from '../../../src/core/errors.ts'
import type { CloudInitConfig } from '../../../src/core/model.ts'

const identity = { vmId: '6f0c1a52-0d0e-4a51-9a44-1f6a2a7c9b10', name: 'web-1' }
const build = (given: Partial<CloudInitConfig>, name = identity.name) =>
  buildSeedDocuments({ userData: '', metaData: '', networkConfig: '', vendorData: '', ...given }, { ...identity, name })
const read = (text: string): unknown => parse(text, { version: '1.1' })

function refusal(given: Partial<CloudInitConfig>): AgentError {
  try {
    build(given)
  } catch (error) {
    if (error instanceof AgentError) return error
    throw error
  }
  throw new Error('the document was accepted')
}

describe('generated documents', () => {
  test('without any document the guest gets its name and the id of the VM', () => {
    const documents = buildSeedDocuments(undefined, identity)
    expect(read(documents.metaData)).toEqual({ 'instance-id': identity.vmId, 'local-hostname': 'web-1' })
    expect(documents.userData.startsWith('#cloud-config\n')).toBe(true)
    expect(read(documents.userData)).toEqual({ hostname: 'web-1', manage_etc_hosts: true })
    expect(documents.networkConfig).toBeUndefined()
    expect(documents.vendorData).toBeUndefined()
  })

  test.each([
    ['web_1.example', 'web-1-example'],
    ['-<&>"\'-', 'vm-6f0c1a52'],
    ['ünï', 'n'],
    ['a'.repeat(80), 'a'.repeat(63)],
  ])('the name %j becomes the host name %j', (name, hostname) => {
    expect(hostnameOf({ ...identity, name })).toBe(hostname)
  })
})

describe('user-data', () => {
  test('values keep their meaning through the serialiser', () => {
    const text = [
      '#cloud-config',
      'password: "p: # \\" \' \\\\ $ ü * %"',
      'quoted: "yes"',
      'mode: 0644',
      'time: "12:30"',
      'script: |',
      '  #!/bin/sh',
      `  echo ${'long '.repeat(40)}`,
      'tail: end',
    ].join('\n')
    const { userData } = build({ userData: text })
    expect(userData.split('\n')[0]).toBe('#cloud-config')
    expect(read(userData)).toEqual(read(text))
    expect(read(userData)).toMatchObject({ quoted: 'yes', mode: 0o644, time: '12:30' })
  })

  test('any mapping comes out as it went in', () => {
    fc.assert(
      fc.property(
        // Unquoted, as it is written, << is no key but a merge.
        fc.dictionary(
          fc.string({ minLength: 1 }).filter((key) => key !== '<<'),
          fc.oneof(fc.string(), fc.integer(), fc.boolean()),
        ),
        (map) => {
          const text = `#cloud-config\n${stringify(map, { version: '1.1' })}`
          expect(read(build({ userData: text }).userData)).toEqual(read(text))
        },
      ),
    )
  })

  test.each([
    '#!/bin/sh\necho: [',
    '#include\nhttp://example.com/a',
    '#cloud-boothook\necho',
    '## template: jinja\n#cloud-config\na: {{ v1.x }}',
    'Content-Type: multipart/mixed; boundary="b"\nMIME-Version: 1.0\n\n--b--',
  ])('content that is not cloud-config is passed through: %j', (text) => {
    expect(build({ userData: text }).userData).toBe(text)
    expect(build({ vendorData: text }).vendorData).toBe(text)
  })

  test('Windows line ends and a byte order mark do not hide the first line', () => {
    expect(build({ userData: '\uFEFF#cloud-config\r\na: 1\r\n' }).userData).toBe('#cloud-config\na: 1\n')
  })

  test.each([
    ['no mark in the first line', 'hunter2: x', 'line 1'],
    ['a list', '#cloud-config\n- hunter2', 'mapping'],
    ['an open bracket', '#cloud-config\na: [hunter2\nb: c', 'line 3, column 1'],
    ['an unknown tag', '#cloud-config\na: !hunter2 x', 'line 2, column 4'],
    ['an unknown alias', '#cloud-config\na: *hunter2', 'line 2, column 4'],
    ['a repeated key', '#cloud-config\nhunter2: 1\nhunter2: 2', 'line 3, column 1'],
    ['a merge of a scalar', '#cloud-config\na: 1\n<<: hunter2', 'line 3, column 1'],
    ['a NUL', '#cloud-config\na: "hunter2\u0000"', 'control'],
    ['half of a surrogate pair', '#cloud-config\na: "hunter2\ud800"', 'Unicode'],
    ['more than a megabyte', `#cloud-config\na: ${'x'.repeat(1024 * 1024)}`, '1 MiB'],
  ])('%s is refused with its place and without its content', (_, userData, place) => {
    const error = refusal({ userData })
    expect(error.reason).toBe('CLOUD_INIT_INVALID')
    expect(error.message).toContain('user-data')
    expect(error.message).toContain(place)
    expect(error.message).not.toContain('hunter2')
  })
})

describe('documents made to keep the agent busy', () => {
  // Each of them takes minutes when one part is compared with all others; the runner's own limit is seconds.
  const list = (count: number, line: (index: number) => string) =>
    Array.from({ length: count }, (_, i) => line(i)).join('')

  test.each([
    ['aliases', `a: &x 1\nb: [${'*x,'.repeat(9_000)}]\n`],
    ['keys', list(4_900, (i) => `k${i}: 1\n`)],
    ['anchors with aliases', `a:\n${list(2_000, (i) => `- &a${i} 1\n`)}b:\n${list(2_000, (i) => `- *a${i}\n`)}`],
  ])('thousands of %s are taken', (_, text) => {
    expect(build({ userData: `#cloud-config\n${text}` }).userData).toContain('#cloud-config')
  })

  test.each([
    ['aliases', `a: &x 1\nb: [${'*x,'.repeat(300_000)}]\n`],
    ['keys', list(70_000, (i) => `k${i}: 1\n`)],
    ['comments', '# c\n'.repeat(200_000)],
    ['list entries', '- x\n'.repeat(200_000)],
  ])('a megabyte of %s is refused', (_, text) => {
    expect(refusal({ userData: `#cloud-config\n${text}` }).message).toContain('too many parts')
  })

  test.each([
    ['brackets', `a: ${'['.repeat(9_000)}`],
    ['lists', `a:\n${'- '.repeat(9_000)}x`],
  ])('%s that are nested without end are refused', (_, text) => {
    expect(refusal({ userData: `#cloud-config\n${text}` }).reason).toBe('CLOUD_INIT_INVALID')
  })

  test('aliases that stand for billions of values are not expanded', () => {
    const levels = [...'bcdefghi'].map(
      (key, i) => `${key}: &${key} [${Array(9).fill(`*${'abcdefgh'[i]}`).join(', ')}]\n`,
    )
    const text = `#cloud-config\na: &a [x, x, x]\n${levels.join('')}`
    expect(build({ userData: text }).userData.length).toBeLessThan(2 * text.length)
  })

  test('a long file in a document is one part, and a merge key may be repeated', () => {
    const file = `write_files:\n- path: /a\n  content: |\n${'    line\n'.repeat(60_000)}`
    expect(build({ userData: `#cloud-config\n${file}` }).userData.length).toBeGreaterThan(file.length)
    const merged = '#cloud-config\na: &a {x: 1}\nb: &b {z: 2}\nc:\n  <<: *a\n  <<: *b\n'
    expect(read(build({ userData: merged }).userData)).toMatchObject({ c: { x: 1, z: 2 } })
  })
})

describe('meta-data', () => {
  test("the user's instance-id and keys are kept, what is missing is added", () => {
    expect(read(build({ metaData: '{"instance-id": "mine", "x": 1}' }).metaData)).toEqual({
      'instance-id': 'mine',
      x: 1,
      'local-hostname': 'web-1',
    })
    expect(read(build({ metaData: 'hostname: db\n' }).metaData)).toEqual({
      hostname: 'db',
      'instance-id': identity.vmId,
    })
  })

  test('anything but a mapping is refused', () => {
    expect(refusal({ metaData: 'just text' }).message).toContain('meta-data')
    expect(refusal({ metaData: 'instance-id: [a]' }).message).toContain('instance-id')
  })
})

describe('network-config', () => {
  test.each(['', '   \n', '# only a comment\n', '---\n', 'null', '{}'])(
    '%j is left out of the seed',
    (networkConfig) => {
      expect(build({ networkConfig }).networkConfig).toBeUndefined()
    },
  )

  test('a wrapping "network" key is removed', () => {
    const { networkConfig } = build({ networkConfig: 'network:\n  version: 2\n  ethernets: {eth0: {dhcp4: true}}\n' })
    expect(read(networkConfig ?? '')).toEqual({ version: 2, ethernets: { eth0: { dhcp4: true } } })
  })

  test('an unquoted MAC address of digits stays an address', () => {
    const { networkConfig } = build({
      networkConfig: 'version: 1\nconfig:\n- {type: physical, name: eth0, mac_address: 52:54:00:12:34:56}\n',
    })
    expect(read(networkConfig ?? '')).toMatchObject({ config: [{ mac_address: '52:54:00:12:34:56' }] })
  })

  test.each(['version: 3', 'ethernets: {}', 'version: 1\nconfig: {}', 'version: 2\nethernets: []', '- a'])(
    '%j is refused',
    (networkConfig) => {
      expect(refusal({ networkConfig }).message).toContain('network-config')
    },
  )
})
