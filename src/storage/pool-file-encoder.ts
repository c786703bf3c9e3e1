import type { PoolFile, PoolFileForm } from '../core/model.ts'

/** Entries of a directory as one adapter sends them: the text between its brackets, or the records of its message. Pure; it runs in the helper that read the directory. */
export type PoolFileEncoder = (files: readonly PoolFile[]) => Buffer

/** What a helper can encode. */
export type PoolFileEncoders = Readonly<Record<PoolFileForm, PoolFileEncoder>>
