import { describe, expect, test } from 'vitest'
import { withEntry, withoutEntry } from '../../../src/domains/metadata-edit.ts'
import { readXml } from '../../../src/domains/read-xml.ts'

const plain = `<vm id="7">
  <created agent="t" at="x"/>
  <labels><label><name>app &amp; &lt;b&gt;</name><value>a
 b </value></label></labels>
  <disks>
    <disk id="root" target="vda" size="10"/>
  </disks>
  <nics/>
</vm>`

const disksOf = (text: string) =>
  readXml(text)
    .first('disks')
    ?.all('disk')
    .map((disk) => disk.attributes)

describe('our metadata of a domain', () => {
  test('gets an entry, replaces the one of the same device, and loses it, with everything else as it was', () => {
    const two = withEntry(plain, 'disks', { id: 'data <">', target: 'vdb', size: 5 })
    expect(disksOf(two)).toEqual([
      { id: 'root', target: 'vda', size: '10' },
      { id: 'data <">', target: 'vdb', size: '5' },
    ])
    expect(disksOf(withEntry(two, 'disks', { id: 'new', target: 'vdb', size: 6 }))?.at(-1)).toEqual({
      id: 'new',
      target: 'vdb',
      size: '6',
    })
    const back = readXml(withoutEntry(two, 'disks', 'vdb'))
    expect(disksOf(withoutEntry(two, 'disks', 'vdb'))).toHaveLength(1)
    expect(back.first('labels', 'label', 'name')?.text).toBe('app & <b>')
    expect(back.first('labels', 'label', 'value')?.text).toBe('a\n b ')
    expect(back.attribute('id')).toBe('7')
  })

  test('is read and written with our prefix where libvirt keeps it', () => {
    const prefixed = '<lqx:vm xmlns:lqx="urn:x"><lqx:nics/></lqx:vm>'
    const nic = readXml(withEntry(prefixed, 'nics', { id: 'n', mac: '52:54:00:00:00:01' }))
    expect(nic.first('lqx:nics', 'lqx:nic')?.attributes).toEqual({ id: 'n', mac: '52:54:00:00:00:01' })
  })
})
