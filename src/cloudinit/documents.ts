import { Document, isCollection, isMap, isSeq } from 'yaml'
import type { CloudInitConfig } from '../core/model.ts'
import { cleanText, parseYaml, refuse, rootMap, writeYaml, type DocumentName } from './yaml-document.ts'

/** What the seed of a VM holds. Documents that are undefined are left out of it. Secret: never logged. */
export interface SeedDocuments {
  readonly userData: string
  readonly metaData: string
  readonly networkConfig: string | undefined
  readonly vendorData: string | undefined
}

/** Whom the seed is for. */
export interface SeedIdentity {
  readonly vmId: string
  readonly name: string
}

/** First lines by which cloud-init knows content that is not cloud-config; such content is passed through unchanged. */
const OTHER_CONTENT: readonly RegExp[] = [
  /^#!/,
  /^#include(-once)?\s*$/,
  /^#cloud-boothook\s*$/,
  /^#part-handler\s*$/,
  /^#upstart-job\s*$/,
  /^## template:\s*jinja\s*$/,
  /^content-type:\s*\S/i,
  /^mime-version:\s*\S/i,
]

/**
 * Validates the given documents, writes them anew through the YAML serialiser and generates what is missing: meta-data always has an `instance-id` (the VM's
 * id) and a `local-hostname`, user-data is always there. CLOUD_INIT_INVALID names the document and the position, never its content.
 */
export function buildSeedDocuments(config: CloudInitConfig | undefined, identity: SeedIdentity): SeedDocuments {
  const hostname = hostnameOf(identity)
  return {
    userData: buildUserData('user-data', config?.userData ?? '') ?? defaultUserData(hostname),
    metaData: buildMetaData(config?.metaData ?? '', identity.vmId, hostname),
    networkConfig: buildNetworkConfig(config?.networkConfig ?? ''),
    vendorData: buildUserData('vendor-data', config?.vendorData ?? ''),
  }
}

/** The name of a VM as a host name (RFC 1123): other characters become dashes; `vm-<start of the id>` when nothing is left. */
export function hostnameOf(identity: SeedIdentity): string {
  const label = identity.name
    .replace(/[^A-Za-z0-9-]+/g, '-')
    .slice(0, 63)
    .replace(/^-+|-+$/g, '')
  return label === '' ? `vm-${identity.vmId.slice(0, 8)}` : label
}

function defaultUserData(hostname: string): string {
  return `#cloud-config\n${writeYaml(new Document({ hostname, manage_etc_hosts: true }, { version: '1.1' }))}`
}

function buildUserData(name: DocumentName, given: string): string | undefined {
  const text = cleanText(name, given)
  if (text.trim() === '') return undefined
  const newline = text.indexOf('\n')
  const firstLine = newline === -1 ? text : text.slice(0, newline)
  const rest = newline === -1 ? '' : text.slice(newline + 1)
  if (OTHER_CONTENT.some((pattern) => pattern.test(firstLine))) return text
  const header = /^(#cloud-config(?:-archive)?)\s*$/.exec(firstLine)?.[1]
  if (header === undefined) {
    throw refuse(
      name,
      'line 1: it has to begin with "#cloud-config", "#!", "#include" or another mark cloud-init knows',
    )
  }
  const document = parseYaml(name, rest, 1)
  if (document === undefined) return `${header}\n{}\n`
  if (header === '#cloud-config') rootMap(name, document)
  else if (!isSeq(document.contents)) throw refuse(name, 'a cloud-config archive has to be a list')
  return `${header}\n${writeYaml(document)}`
}

function buildMetaData(given: string, vmId: string, hostname: string): string {
  const document = parseYaml('meta-data', cleanText('meta-data', given)) ?? new Document({}, { version: '1.1' })
  const map = rootMap('meta-data', document)
  const instanceId = map.get('instance-id')
  if (instanceId === undefined || instanceId === null || instanceId === '') map.set('instance-id', vmId)
  else if (typeof instanceId === 'object') throw refuse('meta-data', 'instance-id has to be a text')
  if (!map.has('local-hostname') && !map.has('hostname')) map.set('local-hostname', hostname)
  // A flow mapping (JSON) would keep our additions on its one line; block style is what people expect to read.
  map.flow = false
  return writeYaml(document)
}

function buildNetworkConfig(given: string): string | undefined {
  const name = 'network-config'
  const document = parseYaml(name, cleanText(name, given))
  if (document === undefined) return undefined
  let map = rootMap(name, document)
  // Older cloud-init takes only the inner part from a NoCloud seed.
  const inner = map.get('network', true)
  if (map.items.length === 1 && isMap(inner)) {
    document.contents = inner as never
    map = inner
  }
  if (map.items.length === 0) return undefined
  const version = map.get('version')
  const config = map.get('config')
  if (version !== 1 && version !== 2 && config !== 'disabled') throw refuse(name, '"version" has to be 1 or 2')
  if (version === 1 && config !== 'disabled' && !isSeq(config)) throw refuse(name, 'version 1 needs a list "config"')
  if (version === 2) {
    for (const key of ['ethernets', 'bonds', 'bridges', 'vlans']) {
      const section = map.get(key)
      if (section !== undefined && !(isCollection(section) && isMap(section))) {
        throw refuse(name, `"${key}" has to be a mapping`)
      }
    }
  }
  return writeYaml(document)
}
