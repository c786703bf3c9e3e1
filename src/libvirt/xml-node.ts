/** Attributes of an element; undefined ones are left out. */
type Attributes = Readonly<Record<string, string | number | undefined>>

/** An element as data; text stands alone in its element. */
export interface XmlNode {
  readonly name: string
  readonly attributes: Attributes
  readonly children: readonly XmlNode[] | string
}

/** An element; children that are undefined or false are left out, so that optional parts read as conditions. */
export function el(
  name: string,
  attributes: Attributes = {},
  children: readonly (XmlNode | undefined | false)[] | string = [],
): XmlNode {
  return { name, attributes, children: typeof children === 'string' ? children : children.filter(isNode) }
}

function isNode(node: XmlNode | undefined | false): node is XmlNode {
  return node !== undefined && node !== false
}

/** True when every character may stand in an XML 1.0 document. */
export function isXmlText(text: string): boolean {
  return text.isWellFormed() && !/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/.test(text)
}
