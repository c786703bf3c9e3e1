import type { XmlElement } from './read-xml.ts'

/** The definition that a snapshot has for the next start of the VM, as a `<domain>`; undefined when libvirt kept none. Pure. */
export function definitionOfThen(snapshot: XmlElement): XmlElement | undefined {
  const next = snapshot.first('inactiveDomain')
  return next === undefined ? snapshot.first('domain') : { ...next, name: 'domain' }
}
