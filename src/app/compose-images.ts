import { usersByPlace, writtenPlaces } from '../domains/image-users.ts'
import { migrationDetails } from '../domains/migration/migration-details.ts'
import { MOVE_DISK_KIND } from '../domains/move/disk-mover.ts'
import { moveDetails } from '../domains/move/move-details.ts'
import { OUTGOING_KIND } from '../domains/migration/outgoing.ts'
import { Bandwidth } from '../images/bandwidth.ts'
import { CredentialBook } from '../images/credentials.ts'
import { IMAGE_CONVERT, IMAGE_DOWNLOAD, ImageDownloads } from '../images/download.ts'
import { ImageVolumes } from '../images/image-volume.ts'
import { downloadDetails } from '../images/job-view.ts'
import { imagesOfJobs } from '../images/library/busy-images.ts'
import { ImageCatalog } from '../images/library/image-catalog.ts'
import { imageDeleter } from '../images/library/image-deleter.ts'
import { ImageFolders } from '../images/library/image-folders.ts'
import { ImageLibrary } from '../images/library/image-library.ts'
import { imagePlaces } from '../images/library/image-places.ts'
import { TellableImages } from '../images/library/tellable-images.ts'
import { TransferClient } from '../images/transfer-client.ts'
import { Uploads } from '../images/upload/uploads.ts'
import { ImageVerifier } from '../images/verify-image.ts'
import { isFinal } from '../operations/operation.ts'
import { WorkerProcess } from '../platform/workers.ts'
import { createImageService } from '../services/image-service.ts'
import { createIntakeService, requireSource } from '../services/intake-service.ts'
import { createJobService } from '../services/job-service.ts'
import { createLibraryService } from '../services/library-service.ts'
import { createRateService } from '../services/rate-service.ts'
import { Reservations } from '../storage/reservations.ts'
import type { Base } from './compose-base.ts'
import { VERSION } from './version.ts'

/** Images: downloads, uploads, verification, the library and their jobs. */
export type ImageParts = ReturnType<typeof composeImages>

/** Builds downloads, uploads, the library and their jobs. `syncAgain` tells the control plane all images once more. */
export function composeImages(base: Base, syncAgain: () => number) {
  const {
    agentId,
    config,
    domains,
    environment,
    files,
    imageRoots,
    inspectWorker,
    layout,
    log,
    media,
    operations,
    pools,
    store,
    volumes,
  } = base
  const downloadSettings = {
    allowedDirs: imageRoots,
    allowPrivateAddresses: config.downloads.allow_private_addresses,
    rewrites: config.images.url_rewrite,
    network: {
      ...(config.images.ca_file === undefined ? {} : { caFile: config.images.ca_file }),
      ...(config.images.proxy === undefined ? {} : { proxy: config.images.proxy }),
      ...(config.images.no_proxy === undefined ? {} : { noProxy: config.images.no_proxy }),
    },
    lease: { holder: agentId, timeoutMs: config.images.lease_timeout_secs * 1000 },
    stagingDir: layout.staging,
    stallTimeoutMs: config.downloads.stall_timeout_secs * 1000,
    patienceMs: config.downloads.retry_patience_secs * 1000,
    maxConcurrent: config.downloads.max_concurrent,
    ...(config.downloads.max_per_server === undefined ? {} : { maxPerServer: config.downloads.max_per_server }),
    connections: config.downloads.connections,
    connectionsByPool: config.downloads.connections_by_pool,
    proof: { require: config.images.require, requireByPool: config.images.require_by_pool },
    keyringsDir: config.images.keyrings_dir,
  }
  const bandwidth = new Bandwidth(store.collection('image-rates'), {
    hostBytesPerSecond: config.images.rate_limit,
    pools: config.images.rate_limit_by_pool,
  })
  const openClient = (jobId: string) =>
    new TransferClient(new WorkerProcess('transfer', `image ${jobId}`, log, { background: true }))
  const localSpace = new Reservations()
  const imageVolumes = new ImageVolumes({ pools, volumes, manifests: store.collection('image-volumes') })
  const downloadDeps = {
    pools,
    volumes: imageVolumes,
    localSpace,
    settings: downloadSettings,
    bandwidth,
    credentials: new CredentialBook(store.collection('image-credentials')),
    agentVersion: VERSION,
    openClient,
  }
  const downloads = new ImageDownloads(downloadDeps)
  operations.register(downloads)
  operations.register(new ImageDownloads(downloadDeps, IMAGE_CONVERT))
  operations.register(new ImageVerifier({ pools, openClient }))

  const imageFolders = new ImageFolders(store.collection('images'))
  const library = new ImageLibrary({
    places: () =>
      imagePlaces({
        pools,
        io: environment.io,
        volumes: imageVolumes,
        aliases: layout.poolAliases,
        directories: imageRoots,
        worker: inspectWorker,
        log,
      }),
    folders: imageFolders,
    nodeId: agentId,
    busyPaths: () => imagesOfJobs(operations),
    diskPaths: () => writtenPlaces(domains),
    log,
  })

  const tellable = new TellableImages(library, operations)
  operations.watchAll(({ state, locks }) => {
    if (isFinal(state) && locks.some((lock) => lock.startsWith('image:'))) library.hint()
  })

  return {
    library,
    tellable,
    services: {
      images: createImageService({
        operations,
        pools,
        downloads,
        settings: downloadSettings,
        catalog: new ImageCatalog(config.images.catalog_dir),
        homes: { cloudImages: layout.cloudImages, aliases: layout.poolAliases },
        onEndTold: (jobId) => tellable.heard(jobId),
        log,
      }),
      intake: createIntakeService({
        operations,
        pools,
        settings: downloadSettings,
        uploads: new Uploads({ pools, store: store.collection('uploads'), localSpace, openClient, log }),
        catalog: new ImageCatalog(config.images.catalog_dir),
        homes: { cloudImages: layout.cloudImages, aliases: layout.poolAliases },
        requireFile: (file, root, signal) => requireSource(file, root, media, { signal, log }),
        log,
      }),
      library: createLibraryService({
        library,
        folders: imageFolders,
        users: () => usersByPlace(domains, operations),
        deleteImage: imageDeleter({ files, volumes: imageVolumes, worker: inspectWorker }),
        sync: syncAgain,
        log,
      }),
      rates: createRateService(bandwidth, operations, [IMAGE_DOWNLOAD]),
      jobs: createJobService({
        operations,
        details: {
          [IMAGE_DOWNLOAD]: downloadDetails,
          [IMAGE_CONVERT]: downloadDetails,
          [OUTGOING_KIND]: migrationDetails,
          [MOVE_DISK_KIND]: moveDetails,
        },
      }),
    },
    async load() {
      await downloads.sweepCredentials(operations.list())
      await bandwidth.load()
      await imageFolders.load()
    },
  }
}
