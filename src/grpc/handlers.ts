import { parseId, parseUuid } from '../core/ids.ts'
import type { Services } from '../services/contracts.ts'
import { fieldChecks } from '../services/request-fields.ts'
import { serverStream, unary, type CallEnvironment } from './call.ts'
import { consoleHandlers } from './console-handlers.ts'
import { deviceHandlers } from './device-handlers.ts'
import { fromDownloadMessage, toDownloadMessage } from './download-messages.ts'
import type { CreateVolumeRequest__Output } from './gen/limiquantix/node/v1/CreateVolumeRequest.ts'
import type { CreateVolumeSnapshotRequest__Output } from './gen/limiquantix/node/v1/CreateVolumeSnapshotRequest.ts'
import type { NodeDaemonServiceHandlers } from './gen/limiquantix/node/v1/NodeDaemonService.ts'
import type { ResizeVolumeRequest__Output } from './gen/limiquantix/node/v1/ResizeVolumeRequest.ts'
import { toNodeInfoMessage } from './host-messages.ts'
import { eventHandler } from './event-handler.ts'
import { metricsHandler } from './metrics-handler.ts'
import { migrationHandlers } from './migration-handlers.ts'
import { networkPortHandlers } from './network-port-handlers.ts'
import { fromFilesMessage, fromInitPoolMessage, toFilesMessage, toPoolMessage } from './pool-messages.ts'
import { snapshotHandlers } from './snapshot-handlers.ts'
import { fromCreateVmMessage, toVmMessage } from './vm-messages.ts'
import { fromCloneVolumeMessage, fromCreateVolumeMessage } from './volume-messages.ts'

const DEFAULT_STOP_SECONDS = 30
const MAX_STOP_SECONDS = 3600

const read = (name: string) => ({ name, changes: false })
const change = (name: string) => ({ name, changes: true })

/** Every method of the service over the use cases: check and map, call, map back. */
export function createHandlers(services: Services, env: CallEnvironment): NodeDaemonServiceHandlers {
  return {
    ...hostHandlers(services, env),
    ...vmHandlers(services, env),
    ...metricsHandler(services, env),
    ...eventHandler(services, env),
    ...consoleHandlers(services, env),
    ...deviceHandlers(services, env),
    ...snapshotHandlers(services, env),
    ...migrationHandlers(services, env),
    ...networkPortHandlers(services, env),
    ...downloadHandlers(services, env),
    ...poolHandlers(services, env),
    ...volumeHandlers(services, env),
  }
}

function hostHandlers({ host }: Services, env: CallEnvironment) {
  return {
    HealthCheck: unary(env, read('HealthCheck'), () => host.health()),
    GetNodeInfo: unary(env, read('GetNodeInfo'), async (_request: unknown, signal) =>
      toNodeInfoMessage(host.nodeId(), await host.facts(signal), host.hypervisor()),
    ),
  } satisfies Partial<NodeDaemonServiceHandlers>
}

function vmHandlers({ vms }: Services, env: CallEnvironment) {
  const onVm = (name: string, act: (vmId: string, signal: AbortSignal) => Promise<void>) =>
    unary(env, change(name), async (request: { vmId: string }, signal) => {
      await act(parseUuid(request.vmId, 'vm_id'), signal)
      return {}
    })
  return {
    CreateVM: unary(env, change('CreateVM'), async (request, signal) => {
      const { vmId, created } = await vms.create(fromCreateVmMessage(request), signal)
      return { vmId, created, message: created ? 'VM created' : 'the same VM was here before' }
    }),
    StartVM: onVm('StartVM', (vmId, signal) => vms.start(vmId, signal)),
    StopVM: unary(env, change('StopVM'), async (request, signal) => {
      const vmId = parseUuid(request.vmId, 'vm_id')
      const check = fieldChecks('INVALID_REQUEST')
      const seconds = check.integer(request.timeoutSeconds, 'timeout_seconds', { max: MAX_STOP_SECONDS })
      await vms.stop(vmId, seconds || DEFAULT_STOP_SECONDS, signal)
      return {}
    }),
    ForceStopVM: onVm('ForceStopVM', (vmId, signal) => vms.forceStop(vmId, signal)),
    RebootVM: onVm('RebootVM', (vmId, signal) => vms.reboot(vmId, signal)),
    PauseVM: onVm('PauseVM', (vmId, signal) => vms.pause(vmId, signal)),
    ResumeVM: onVm('ResumeVM', (vmId, signal) => vms.resume(vmId, signal)),
    DeleteVM: onVm('DeleteVM', (vmId, signal) => vms.delete(vmId, signal)),
    GetVMStatus: unary(env, read('GetVMStatus'), async (request, signal) =>
      toVmMessage(await vms.status(parseUuid(request.vmId, 'vm_id'), signal)),
    ),
    ListVMs: unary(env, read('ListVMs'), async (_request: unknown, signal) => ({
      vms: (await vms.list(signal)).map(toVmMessage),
    })),
  } satisfies Partial<NodeDaemonServiceHandlers>
}

function downloadHandlers({ images }: Services, env: CallEnvironment) {
  return {
    DownloadImage: serverStream(env, change('DownloadImage'), async function* (request, signal) {
      const { jobId } = await images.download(fromDownloadMessage(request), signal)
      for await (const job of images.watch(jobId, signal)) yield toDownloadMessage(job)
    }),
    GetDownloadStatus: unary(env, read('GetDownloadStatus'), (request) =>
      toDownloadMessage(images.job(parseId(request.jobId, 'job_id'))),
    ),
    CancelDownload: unary(env, change('CancelDownload'), async (request, signal) => {
      await images.cancel(parseId(request.jobId, 'job_id'), signal)
      return {}
    }),
    ListDownloads: unary(env, read('ListDownloads'), () => ({ jobs: images.jobs().map(toDownloadMessage) })),
  } satisfies Partial<NodeDaemonServiceHandlers>
}

function poolHandlers({ pools }: Services, env: CallEnvironment) {
  const poolIdOf = (request: { poolId: string }) => parseId(request.poolId, 'pool_id')
  return {
    InitStoragePool: unary(env, change('InitStoragePool'), async (request, signal) =>
      toPoolMessage(await pools.init(fromInitPoolMessage(request), signal)),
    ),
    DestroyStoragePool: unary(env, change('DestroyStoragePool'), async (request, signal) => {
      await pools.destroy(poolIdOf(request), signal)
      return {}
    }),
    GetStoragePoolInfo: unary(env, read('GetStoragePoolInfo'), async (request, signal) =>
      toPoolMessage(await pools.info(poolIdOf(request), signal)),
    ),
    ListStoragePools: unary(env, read('ListStoragePools'), async (_request: unknown, signal) => ({
      pools: (await pools.list(signal)).map(toPoolMessage),
    })),
    ListStoragePoolFiles: unary(env, read('ListStoragePoolFiles'), async (request, signal) => {
      const poolId = poolIdOf(request)
      const path = fieldChecks('INVALID_PATH').text(request.path, 'path', { maxBytes: 4095 })
      const query = fromFilesMessage(path, request)
      return toFilesMessage(poolId, query, pools.files(poolId, query, signal))
    }),
  } satisfies Partial<NodeDaemonServiceHandlers>
}

function volumeHandlers({ volumes }: Services, env: CallEnvironment) {
  const onVolume = <R extends { poolId: string; volumeId: string }>(
    name: string,
    act: (request: R, signal: AbortSignal) => Promise<unknown>,
  ) =>
    unary(env, change(name), async (request: R, signal) => {
      await act(request, signal)
      return {}
    })
  return {
    CreateVolume: onVolume('CreateVolume', (request: CreateVolumeRequest__Output, signal) =>
      volumes.create(fromCreateVolumeMessage(request), signal),
    ),
    DeleteVolume: onVolume('DeleteVolume', ({ poolId, volumeId }, signal) => volumes.delete(poolId, volumeId, signal)),
    ResizeVolume: onVolume('ResizeVolume', (request: ResizeVolumeRequest__Output, signal) => {
      const size = fieldChecks('INVALID_REQUEST').integer(request.newSizeBytes, 'new_size_bytes', { min: 1 })
      return volumes.resize(request.poolId, request.volumeId, size, signal)
    }),
    CloneVolume: unary(env, change('CloneVolume'), async (request, signal) => {
      await volumes.create(fromCloneVolumeMessage(request), signal)
      return {}
    }),
    GetVolumeAttachInfo: unary(env, read('GetVolumeAttachInfo'), async ({ poolId, volumeId }, signal) => ({
      volumeId,
      ...(await volumes.attachInfo(poolId, volumeId, signal)),
    })),
    CreateVolumeSnapshot: onVolume('CreateVolumeSnapshot', (request: CreateVolumeSnapshotRequest__Output, signal) =>
      volumes.createSnapshot(request.poolId, request.volumeId, request.snapshotId, signal),
    ),
  } satisfies Partial<NodeDaemonServiceHandlers>
}
