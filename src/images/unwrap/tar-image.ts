import { MIB } from '../../core/bytes.ts'
import { ByteReader } from './byte-reader.ts'
import { damaged, isDiskMember, MEMBER_HEAD_BYTES, notOneImage } from './member.ts'
import { isAppliance, isOvaManifest, MAX_OVA_MANIFEST_BYTES, OvaDigests } from './ova-manifest.ts'
import { parsePax, parseSparseBlock, parseTarHeader, TAR_BLOCK, type DataPiece, type TarHeader } from './tar-header.ts'

/** A regular file of the archive. */
interface TarMember {
  readonly name: string
  readonly storedBytes: number
  /** Where the stored bytes belong; absent when they are the file. */
  readonly sparse?: { readonly realBytes: number; readonly pieces: readonly DataPiece[] }
}

const MAX_MEMBERS = 10_000
const MAX_EXTENSION_BYTES = MIB
const ZEROS = Buffer.alloc(MIB)
const REGULAR: readonly string[] = ['0', '7', 'S']

/**
 * The bytes of the one disk image in a tar archive (POSIX, GNU; OVA), sparse files expanded. Names, links and directories mean nothing here, since no file is ever made of them. It yields while it
 * reads, and throws at the end when a second image follows, or the manifest of an appliance says that it is another one. Errors: WRAPPER_AMBIGUOUS, WRAPPER_DAMAGED, CHECKSUM_MISMATCH, what `source` throws.
 */
export async function* tarImage(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const reader = new ByteReader(source)
  const images: string[] = []
  let others = 0
  let digests: OvaDigests | undefined
  try {
    for (let member = await nextMember(reader); member !== undefined; member = await nextMember(reader)) {
      if (images.length + others === 0 && isAppliance(member.name)) digests = new OvaDigests()
      const begin = reader.position
      const head =
        member.sparse === undefined ? await reader.peek(Math.min(member.storedBytes, MEMBER_HEAD_BYTES)) : undefined
      // A sparse file is a disk by its nature: nothing else has holes.
      if (head === undefined || isDiskMember(member.name, head)) {
        images.push(member.name)
        if (images.length > 1) throw notOneImage('tar', images, others)
        const note = digests?.begin(member.name)
        for await (const piece of content(reader, member)) {
          note?.(piece)
          yield piece
        }
      } else {
        others++
        if (digests !== undefined) await noteFile(reader, member, digests)
      }
      if (images.length + others > MAX_MEMBERS) throw damaged('tar', `it has more than ${MAX_MEMBERS} files`)
      await skipTo(reader, begin + Math.ceil(member.storedBytes / TAR_BLOCK) * TAR_BLOCK)
    }
    if (images.length === 0) throw notOneImage('tar', images, others)
    digests?.check(images[0] ?? '')
    // A decompressor in front of it still checks its own end.
    await reader.skip(Infinity)
  } finally {
    await reader.close()
  }
}

async function noteFile(reader: ByteReader, { name, storedBytes }: TarMember, digests: OvaDigests): Promise<void> {
  if (isOvaManifest(name)) {
    if (storedBytes > MAX_OVA_MANIFEST_BYTES) throw damaged('tar', `its manifest ${name} is absurdly long`)
    digests.setManifest(name, (await reader.take(storedBytes)).toString('utf8'))
    return
  }
  const note = digests.begin(name)
  for await (const piece of reader.stream(storedBytes)) note(piece)
}

async function* content(reader: ByteReader, { storedBytes, sparse, name }: TarMember): AsyncGenerator<Buffer> {
  const pieces = sparse?.pieces ?? [{ offset: 0, length: storedBytes }]
  let position = 0
  for (const { offset, length } of pieces) {
    if (offset < position) throw damaged('tar', `the sparse map of ${name} is out of order`)
    yield* zeros(offset - position)
    const begin = reader.position
    yield* reader.stream(length)
    if (reader.position - begin < length) throw damaged('tar', `it ends in the middle of ${name}`)
    position = offset + length
  }
  yield* zeros((sparse?.realBytes ?? storedBytes) - position)
}

function* zeros(count: number): Generator<Buffer> {
  for (let left = count; left > 0; left -= ZEROS.length) yield ZEROS.subarray(0, left)
}

async function skipTo(reader: ByteReader, position: number): Promise<void> {
  const length = position - reader.position
  if (length < 0 || (await reader.skip(length)) < length) throw damaged('tar', 'it ends in the middle of a file')
}

// The next regular file; what stands in front of it (long names, extended headers) belongs to it.
async function nextMember(reader: ByteReader): Promise<TarMember | undefined> {
  let pax = new Map<string, string>()
  let longName: string | undefined
  for (let count = 0; count < MAX_MEMBERS; count++) {
    const header = parseTarHeader(await reader.take(TAR_BLOCK))
    if (header === undefined) return undefined
    switch (header.type) {
      case 'x':
        pax = parsePax(await extension(reader, header))
        break
      case 'L':
        longName = (await extension(reader, header)).toString('utf8').replace(/\0.*$/s, '')
        break
      case 'g':
      case 'K':
        await extension(reader, header)
        break
      default: {
        const size = pax.get('size')
        const storedBytes = size === undefined ? header.storedBytes : Number(size)
        if (!Number.isSafeInteger(storedBytes) || storedBytes < 0) throw damaged('tar', 'a file has an absurd size')
        const name = pax.get('GNU.sparse.name') ?? pax.get('path') ?? longName ?? header.name
        if (REGULAR.includes(header.type)) return member(reader, { ...header, name, storedBytes }, pax)
        await skipTo(reader, reader.position + Math.ceil(storedBytes / TAR_BLOCK) * TAR_BLOCK)
        pax = new Map()
        longName = undefined
      }
    }
  }
  throw damaged('tar', `it has more than ${MAX_MEMBERS} headers`)
}

async function member(reader: ByteReader, header: TarHeader, pax: ReadonlyMap<string, string>): Promise<TarMember> {
  const { name, storedBytes, sparse } = header
  if (sparse !== undefined) {
    const pieces = [...sparse.pieces]
    for (let { more } = sparse; more;) {
      const block = parseSparseBlock(await reader.take(TAR_BLOCK))
      pieces.push(...block.pieces)
      more = block.more
      if (pieces.length > MAX_EXTENSION_BYTES) throw damaged('tar', 'a sparse map is absurdly long')
    }
    return { name, storedBytes, sparse: { realBytes: sparse.realBytes, pieces } }
  }
  if (![...pax.keys()].some((key) => key.startsWith('GNU.sparse.'))) return { name, storedBytes }
  throw damaged('tar', `${name} is stored as a sparse file of the POSIX kind; make the archive with --format=gnu`)
}

async function extension(reader: ByteReader, { storedBytes }: TarHeader): Promise<Buffer> {
  if (storedBytes > MAX_EXTENSION_BYTES) throw damaged('tar', 'an extended header is absurdly long')
  const bytes = await reader.take(Math.ceil(storedBytes / TAR_BLOCK) * TAR_BLOCK)
  if (bytes.length < storedBytes) throw damaged('tar', 'it ends in the middle of a header')
  return bytes.subarray(0, storedBytes)
}
