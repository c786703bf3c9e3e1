import type { ByteRange } from './steps.ts'

/** The formats of image files that are known through and through. `vpc` is the VHD of Virtual PC and Azure, by the name QEMU has for it. */
export type ImageFormatName = 'qcow2' | 'raw' | 'vmdk' | 'vhdx' | 'vpc' | 'vdi' | 'iso'

/** The driver `qemu-img` is told to read a format with. */
export type QemuDriver = Exclude<ImageFormatName, 'iso'>

/** Bytes (latin1) at a fixed offset that files of a format have. */
export interface Mark {
  readonly offset: number
  readonly bytes: string
}

/** What a parser tells of a good image. */
export interface ParsedImage {
  /** Size of the disk a guest sees. */
  readonly virtualSizeBytes: number
  /** Which kind of the format it is, for people and manifests: `v3, zstd`, `streamOptimized`. */
  readonly variant: string
}

/**
 * A parser of untrusted bytes. It does no I/O and allocates nothing by what a header says: it asks for ranges, one after the other, and whoever drives it gives the bytes. It throws nothing but
 * ImageRefusal, and refuses everything but a plain, self-contained, sane image.
 */
export type ImageParser = (fileSizeBytes: number) => Generator<ByteRange, ParsedImage, Buffer>

/** One format of image files, as data: the generic code knows no names. */
export interface ImageFormat {
  readonly name: ImageFormatName
  /** For people, with article: `a VMDK image`. */
  readonly title: string
  readonly driver: QemuDriver
  /** Any of these says that a file is of this format. */
  readonly marks: readonly Mark[]
  /** Likewise, with offsets counted back from the end of the file. */
  readonly tailMarks: readonly Mark[]
  /** Formats whose marks may be in the same file, since they are part of what this one carries. Any other pair of marks is a polyglot. */
  readonly carries: readonly ImageFormatName[]
  /** Its marks prove little: content of any other known kind is that, and not this. */
  readonly weak: boolean
  /** `qemu-img check` knows the format and finds entries that lead outside the file. */
  readonly checkable: boolean
  readonly parse: ImageParser
}

/** The largest virtual size that is taken for a real disk: 64 TiB. */
export const MAX_VIRTUAL_SIZE_BYTES = 64 * 2 ** 40
