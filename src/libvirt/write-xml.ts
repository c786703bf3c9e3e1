import { isXmlText, type XmlNode } from './xml-node.ts'

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  // A reader turns bare ones into spaces or line feeds.
  '\r': '&#13;',
  '\n': '&#10;',
  '\t': '&#9;',
}

/**
 * The element as an XML document. The one place where text becomes XML: every text and attribute is escaped here, and none is ever pasted. Throws a RangeError
 * for characters XML 1.0 cannot carry; requests are checked for them long before.
 */
export function writeXml(root: XmlNode): string {
  return `${elementText(root, '')}\n`
}

function elementText(node: XmlNode, indent: string): string {
  const attributes = Object.entries(node.attributes)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => ` ${name}="${escape(String(value), /[&<>"\r\n\t]/g)}"`)
    .join('')
  const start = `${indent}<${node.name}${attributes}`
  if (typeof node.children === 'string') return `${start}>${escape(node.children, /[&<>\r]/g)}</${node.name}>`
  if (node.children.length === 0) return `${start}/>`
  const children = node.children.map((child) => elementText(child, `${indent}  `))
  return `${start}>\n${children.join('\n')}\n${indent}</${node.name}>`
}

function escape(text: string, special: RegExp): string {
  if (!isXmlText(text)) throw new RangeError('text with characters that XML cannot carry')
  return text.replace(special, (character) => ESCAPES[character] ?? character)
}
