import { XMLParser, XMLValidator } from 'fast-xml-parser'
import { AgentError } from '../core/errors.ts'
import { el, type XmlNode } from '../libvirt/xml-node.ts'

/** An element as read: attributes and texts are always text (`007` stays `007`), children keep their order. */
export interface XmlElement {
  readonly name: string
  readonly attributes: Readonly<Record<string, string>>
  attribute(name: string): string | undefined
  readonly text: string
  /** Child elements in their order. */
  readonly children: XmlElement[]
  /** Children with this name. */
  all(name: string): XmlElement[]
  /** The first child at the end of this path of names. */
  first(...path: readonly string[]): XmlElement | undefined
}

const TEXT = '#text'
const ATTRIBUTES = ':@'
type Raw = Readonly<Record<string, unknown>>

const parser = new XMLParser({
  preserveOrder: true,
  ignoreAttributes: false,
  attributeNamePrefix: '',
  parseTagValue: false,
  parseAttributeValue: false,
  trimValues: false,
  // Character references such as &#10; are only decoded with this; a document type, and entities of its own, are refused below.
  htmlEntities: true,
  processEntities: { enabled: true, maxTotalExpansions: 1_000_000, maxExpandedLength: 8 * 1024 * 1024 },
})

/** Reads one XML document of libvirt. INTERNAL when it is not well-formed or has a document type, which libvirt never sends. */
export function readXml(xml: string): XmlElement {
  const valid = XMLValidator.validate(xml)
  if (valid !== true || xml.includes('<!DOCTYPE')) {
    throw new AgentError(
      'INTERNAL',
      `libvirt sent XML that cannot be read${valid === true ? '' : `: line ${valid.err.line}`}`,
    )
  }
  const root = (parser.parse(xml) as Raw[]).find((raw) => nameOf(raw) !== TEXT && !nameOf(raw).startsWith('?'))
  if (root === undefined) throw new AgentError('INTERNAL', 'libvirt sent an empty XML document')
  return wrap(root)
}

function wrap(raw: Raw): XmlElement {
  const name = nameOf(raw)
  const children = (raw[name] ?? []) as readonly Raw[]
  const attributes = (raw[ATTRIBUTES] ?? {}) as Readonly<Record<string, string>>
  const element: XmlElement = {
    name,
    attributes,
    attribute: (key) => (Object.hasOwn(attributes, key) ? attributes[key] : undefined),
    get text() {
      return children.map((child) => (nameOf(child) === TEXT ? String(child[TEXT]) : '')).join('')
    },
    get children() {
      return children.filter((child) => nameOf(child) !== TEXT).map(wrap)
    },
    all: (wanted) => children.filter((child) => nameOf(child) === wanted).map(wrap),
    first: (...path) => {
      const [wanted, ...rest] = path
      if (wanted === undefined) return element
      const found = children.find((child) => nameOf(child) === wanted)
      return found === undefined ? undefined : wrap(found).first(...rest)
    },
  }
  return element
}

/** The element as it can be written again. Text beside child elements (indentation) is left out; `change` may replace or drop (false) each child. */
export function toNode(
  element: XmlElement,
  change: (child: XmlElement) => XmlNode | false = (child) => toNode(child),
): XmlNode {
  const { name, attributes, children, text } = element
  return el(name, attributes, children.length === 0 && text.trim() !== '' ? text : children.map(change))
}

function nameOf(raw: Raw): string {
  return Object.keys(raw).find((key) => key !== ATTRIBUTES) ?? ''
}
