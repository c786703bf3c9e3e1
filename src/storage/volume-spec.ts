import { isDeepStrictEqual } from 'node:util'
import { formatBytes } from '../core/bytes.ts'
import { AgentError } from '../core/errors.ts'
import type { DiskSource, MonitorAddress, RbdSource } from '../core/model.ts'
import { isEither, isFiniteNumber, isListOf, isOneOf, isShape, isText, type Check } from '../core/shape.ts'
import type { PoolTraits, VolumeContent, VolumeSpec } from './backend.ts'
import { parseVolumeName } from './volume-name.ts'

/**
 * A volume request with only its known members, so that equal requests compare equal whatever else an object carries. INVALID_NAME, INVALID_REQUEST for a size or
 * format that this kind of pool cannot make.
 */
export function checkedSpec(spec: VolumeSpec, { access, formats }: Pick<PoolTraits, 'access' | 'formats'>): VolumeSpec {
  const { name, format, sizeBytes, owner, content } = spec
  parseVolumeName(name)
  checkVolumeSize(sizeBytes)
  if (!formats.includes(format)) {
    throw new AgentError(
      'INVALID_REQUEST',
      `volume ${name}: this kind of pool makes ${formats.join(' or ')} volumes, not ${format}`,
    )
  }
  if (content.type === 'overlay' && (format !== 'qcow2' || access !== 'file')) {
    throw new AgentError('INVALID_REQUEST', `volume ${name}: an overlay is a qcow2 file, which it would not be here`)
  }
  return { name, format, sizeBytes, content: plainContent(content), owner }
}

/** Throws VOLUME_CONFLICT unless the volume that is there was made by the same request. */
export function requireSameSpec(present: VolumeSpec, wanted: VolumeSpec): void {
  if (isDeepStrictEqual(present, wanted)) return
  throw new AgentError(
    'VOLUME_CONFLICT',
    `volume ${wanted.name} is there with other properties (made for ${present.owner}, ${present.format}, ${formatBytes(present.sizeBytes)})`,
  )
}

/** Whether what was made for `recorded` may be deleted for `owner`: it is the same, or one of those beneath it (`backup:<vm>:<name>` is above each attempt to make that backup). */
export function isMadeFor(recorded: string, owner: string): boolean {
  return recorded === owner || recorded.startsWith(`${owner}:`)
}

/** INVALID_REQUEST unless a volume can have this size in bytes. */
export function checkVolumeSize(sizeBytes: number): void {
  if (Number.isSafeInteger(sizeBytes) && sizeBytes > 0 && sizeBytes % 512 === 0) return
  throw new AgentError(
    'INVALID_REQUEST',
    `a volume of ${sizeBytes} bytes cannot be made; give a positive multiple of 512`,
  )
}

function plainContent(content: VolumeContent): VolumeContent {
  switch (content.type) {
    case 'empty':
      return { type: 'empty' }
    case 'overlay':
      return { type: 'overlay', path: content.path, format: content.format }
    case 'copy':
      return { type: 'copy', source: plainSource(content.source) }
    case 'clone': {
      const { volume, snapshot } = content
      return { type: 'clone', volume, ...(snapshot === undefined ? {} : { snapshot }) }
    }
  }
}

function plainSource(source: DiskSource): DiskSource {
  switch (source.type) {
    case 'file':
      return { type: 'file', path: source.path, format: source.format }
    case 'block':
      return { type: 'block', device: source.device, format: 'raw' }
    case 'network': {
      const { type, protocol, name, user, secretUuid, configFile, format } = source
      const monitors = source.monitors.map(({ host, port }) => ({ host, port }))
      return { type, protocol, name, monitors, user, secretUuid, configFile, format }
    }
  }
}

const isFormat = isOneOf(['qcow2', 'raw'])
const isRaw = isOneOf(['raw'])
const isSource = isEither(
  isShape({ type: isOneOf(['file']), path: isText, format: isFormat }),
  isEither(
    isShape({ type: isOneOf(['block']), device: isText, format: isRaw }),
    isShape<RbdSource>({
      type: isOneOf(['network']),
      protocol: isOneOf(['rbd']),
      name: isText,
      monitors: isListOf(isShape<MonitorAddress>({ host: isText, port: isFiniteNumber })),
      user: isText,
      secretUuid: isText,
      configFile: isText,
      format: isRaw,
    }),
  ),
)
const isClone: Check<Extract<VolumeContent, { type: 'clone' }>> = (value): value is never =>
  isShape({ type: isOneOf(['clone']), volume: isText })(value) &&
  isText((value as { snapshot?: unknown }).snapshot ?? '')
const isContent: Check<VolumeContent> = isEither(
  isEither(
    isShape({ type: isOneOf(['empty']) }),
    isShape({ type: isOneOf(['overlay']), path: isText, format: isFormat }),
  ),
  isEither(isShape({ type: isOneOf(['copy']), source: isSource }), isClone),
)

/** Accepts what was kept of a volume request, whatever it is kept in. */
export const isVolumeSpec: Check<VolumeSpec> = isShape<VolumeSpec>({
  name: isText,
  format: isFormat,
  sizeBytes: isFiniteNumber,
  content: isContent,
  owner: isText,
})
