import { benchDownload } from '../download.ts'
import type { ImageSection } from './section.ts'

/** One plain image over loopback beside curl and wget. */
export const plain: ImageSection = { name: 'plain', run: (bench) => benchDownload(bench) }
