import { expect, test } from 'vitest'
import { isAioShortage, withThreadsForIo } from '../../../src/domains/aio-shortage.ts'
import { readXml } from '../../../src/domains/read-xml.ts'
import { LibvirtError } from '../../../src/libvirt/errors.ts'
import { writeXml } from '../../../src/libvirt/write-xml.ts'

const driver = (io: string) => `<driver name="qemu" type="qcow2" cache="none"${io} discard="unmap" iothread="1"/>`
const domain = (io: string) =>
  `<domain type="qemu"><name>a &lt;b></name><devices>` +
  `<disk type="file" device="disk">${driver(io)}<source file="/io='native'"/></disk>` +
  `<disk type="network" device="disk">${driver('')}</disk>` +
  `<interface type="bridge"><driver io="native"/></interface></devices></domain>`

test('every disk with native I/O gets threads, and nothing else changes', () => {
  const changed = writeXml(withThreadsForIo(readXml(domain(' io="native"'))))
  expect(changed).toBe(writeXml(withThreadsForIo(readXml(domain(' io="threads"')))))
  expect(changed).toContain(driver(' io="threads"'))
  expect(readXml(changed).first('devices', 'interface', 'driver')?.attribute('io')).toBe('native')
  expect(changed).toContain("/io='native'")
})

test('only the refusal of QEMU for want of native AIO counts', () => {
  const refused = (message: string) =>
    new LibvirtError('remote:DOMAIN_CREATE_WITH_FLAGS', {
      code: 1,
      domain: 10,
      level: 2,
      message,
      str1: null,
      str2: null,
      str3: null,
      int1: 0,
      int2: 0,
    })
  const said =
    'internal error: process exited while connecting to monitor: qemu-system-x86_64: -blockdev {…}: Unable to use native AIO: failed to create linux AIO context: Resource temporarily unavailable'
  expect(isAioShortage(refused(said))).toBe(true)
  expect(isAioShortage(refused('internal error: process exited while connecting to monitor'))).toBe(false)
  expect(isAioShortage(new Error(said))).toBe(false)
})
