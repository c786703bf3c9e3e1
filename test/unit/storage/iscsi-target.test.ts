import { describe, expect, test } from 'vitest'
import { AgentError } from '../../../src/core/errors.ts'
import { parseChap, parseIscsiPortal, parseTargetName, portalText } from '../../../src/storage/iscsi-target.ts'

function refusal(work: () => unknown): string {
  try {
    return `accepted ${JSON.stringify(work())}`
  } catch (error) {
    if (error instanceof AgentError && error.reason === 'POOL_CONFIG_INVALID') return error.message
    throw error
  }
}

describe('portal of an iSCSI pool', () => {
  test.each([
    ['10.0.0.5', '10.0.0.5:3260'],
    ['10.0.0.5:3261', '10.0.0.5:3261'],
    ['fd00::5', '[fd00::5]:3260'],
    ['[FD00:0:0::5]', '[fd00::5]:3260'],
    ['[fd00::5]:3261', '[fd00::5]:3261'],
    ['SAN-1.Example.net', 'san-1.example.net:3260'],
    ['san_1:860', 'san_1:860'],
  ])('%s is %s', (text, portal) => {
    expect(portalText(parseIscsiPortal(text))).toBe(portal)
    expect(portalText(parseIscsiPortal(portal))).toBe(portal)
  })

  test.each([
    ...[
      '',
      ':3260',
      'a:',
      'a:0',
      'a:65536',
      'a:x',
      'a:1:2',
      '10.0.0',
      '10.0.0.256',
      '[10.0.0.5]',
      '[nas]:3260',
      'fd00::5]',
    ],
    ...['fe80::1%eth0', '-o', 'a b', 'a,1', 'a/b', '../x', 'a\nb', 'a..b', '$(reboot)', 'ü', 'a'.repeat(300)],
  ])('%j is refused', (text) => {
    expect(refusal(() => parseIscsiPortal(text))).toMatch(/^iscsi\.portal: /)
  })
})

describe('name of an iSCSI target', () => {
  test.each([
    ['iqn.2025-01.com.example', 'iqn.2025-01.com.example'],
    ['IQN.2025-01.com.Example:Disk_1.a-b:c', 'iqn.2025-01.com.example:disk_1.a-b:c'],
    ['eui.02004567A425678D', 'eui.02004567a425678d'],
    ['naa.52004567BA64678D', 'naa.52004567ba64678d'],
    ['naa.62004567BA64678D0123456789ABCDEF', 'naa.62004567ba64678d0123456789abcdef'],
  ])('%s is taken as %s', (text, name) => {
    expect(parseTargetName(text)).toBe(name)
  })

  test.each([
    ...[
      '',
      'iqn',
      'iqn.2025-13.com.example',
      'iqn.2025-1.com',
      'eui.123',
      'naa.123',
      'iqn.2025-01.com.example:',
      'disk1',
    ],
    ...['iqn.2025-01.com.example:a/b', 'iqn.2025-01.com.example:..', 'iqn.2025-01.com.example:a b', '../../etc/passwd'],
    ...['iqn.2025-01.com.example:a\n', `iqn.2025-01.com.example:${'a'.repeat(223)}`, '-T'],
  ])('%j is refused', (text) => {
    expect(refusal(() => parseTargetName(text))).toMatch(/^iscsi\.target: /)
  })
})

describe('CHAP credentials', () => {
  test('any printable text without spaces is taken as it is', () => {
    expect(parseChap('user@host', `p"a's=s#$(x)\\`)).toEqual({ user: 'user@host', password: `p"a's=s#$(x)\\` })
  })

  test.each(['', 'with space', 'line\nfeed', 'tab\t', 'ümlaut', 'x'.repeat(256)])(
    '%j is refused without being quoted',
    (text) => {
      expect(refusal(() => parseChap('user', text))).toBe(
        'iscsi.chap_password: needs 1 to 255 printable ASCII characters without spaces',
      )
      expect(refusal(() => parseChap(text, 'secret'))).toMatch(/^iscsi\.chap_user: needs/)
    },
  )
})
