import { expect, it, vi } from 'vitest'
import { silentLogger } from '../../../../src/core/context.ts'
import type { ImageFolders } from '../../../../src/images/library/image-folders.ts'
import { ImageLibrary, type ImagePlace } from '../../../../src/images/library/image-library.ts'
import type { ScanAnswer } from '../../../../src/images/library/scan-images.ts'

it('looks once more for all who ask during a look, which may have passed by what they ask for', async () => {
  const scans: PromiseWithResolvers<ScanAnswer>[] = []
  const place: ImagePlace = {
    ...{ name: 'pool', poolId: 'pool', root: '/pool', shared: false },
    scan() {
      const scan = Promise.withResolvers<ScanAnswer>()
      scans.push(scan)
      return scan.promise
    },
  }
  const library = new ImageLibrary({
    places: () => [place],
    folders: { of: () => '/' } as unknown as ImageFolders,
    nodeId: 'node',
    busyPaths: () => new Set(),
    diskPaths: () => new Set(),
    log: silentLogger,
  })
  const first = library.refresh(0)
  const later = Promise.all([library.refresh(0), library.refresh(0), library.refresh(5_000)])
  scans[0]?.resolve({ images: [], cut: false })
  await first
  await vi.waitFor(() => expect(scans).toHaveLength(2))
  scans[1]?.resolve({ images: [], cut: false })
  await later
  expect(scans).toHaveLength(2)
})
