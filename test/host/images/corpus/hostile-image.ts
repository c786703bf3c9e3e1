import type { RefusalCode } from '../../../../src/images/formats/refusal.ts'

/** Small good images of every format, by name, to be spoilt. */
export type Bases = Readonly<Record<BaseName, Buffer>>
export type BaseName =
  'qcow2' | 'snapshots' | 'vmdk' | 'stream' | 'vhdx' | 'vpc' | 'fixedVpc' | 'vdi' | 'iso' | 'bootIso' | 'raw'

/** One image that must be refused, and for what. */
export interface HostileImage {
  readonly name: string
  readonly refusal: RefusalCode
  /** Its bytes; may change and give back the base it is handed, which is a copy. */
  readonly make: (bases: Bases) => Buffer
}

/** A copy of one base with bytes changed; what `change` gives back replaces it. */
export function spoilt(
  base: BaseName,
  refusal: RefusalCode,
  name: string,
  change: (image: Buffer) => Buffer | void,
): HostileImage {
  return {
    name: `${base}: ${name}`,
    refusal,
    make: (bases) => {
      const copy = Buffer.from(bases[base])
      return change(copy) ?? copy
    },
  }
}

/** The first `bytes` of an image, or all but the last when negative. */
export function cut(base: BaseName, refusal: RefusalCode, bytes: number): HostileImage {
  return spoilt(base, refusal, `cut to ${bytes} bytes`, (image) => Buffer.from(image.subarray(0, bytes)))
}
