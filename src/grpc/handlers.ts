import { AgentError } from '../core/errors.ts'
import { parseId, parseUuid } from '../core/ids.ts'
import type { Services } from '../services/contracts.ts'
import { fieldChecks } from '../services/request-fields.ts'
import { serverStream, unary, type CallEnvironment } from './call.ts'
import { fromDownloadMessage, toDownloadMessage } from './download-messages.ts'
import type { NodeDaemonServiceHandlers } from './gen/limiquantix/node/v1/NodeDaemonService.ts'
import { toEventMessage, toNodeInfoMessage } from './host-messages.ts'
import { fromInitPoolMessage, toFilesMessage, toPoolMessage } from './pool-messages.ts'
import { fromCreateVmMessage, toVmMessage } from './vm-messages.ts'

const DEFAULT_STOP_SECONDS = 30
const MAX_STOP_SECONDS = 3600

const read = (name: string) => ({ name, changes: false })
const change = (name: string) => ({ name, changes: true })

/** Every method of the service over the use cases: check and map, call, map back. */
export function createHandlers(services: Services, env: CallEnvironment): NodeDaemonServiceHandlers {
  return {
    ...hostHandlers(services, env),
    ...vmHandlers(services, env),
    ...downloadHandlers(services, env),
    ...poolHandlers(services, env),
    ...absentHandlers(env),
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
    StreamEvents: serverStream(env, read('StreamEvents'), async function* (_request: unknown, signal) {
      for await (const event of vms.events(signal)) yield toEventMessage(event)
    }),
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
      return toFilesMessage(poolId, path, await pools.files(poolId, path, signal))
    }),
  } satisfies Partial<NodeDaemonServiceHandlers>
}

function absentHandlers(env: CallEnvironment) {
  const absent = (name: string) => unary<unknown, never>(env, read(name), () => refuse(name))
  const absentStream = <T>(name: string) => serverStream<unknown, T>(env, read(name), () => refuse(name))
  return {
    GetConsole: absent('GetConsole'),
    CreateSnapshot: absent('CreateSnapshot'),
    RevertSnapshot: absent('RevertSnapshot'),
    DeleteSnapshot: absent('DeleteSnapshot'),
    ListSnapshots: absent('ListSnapshots'),
    AttachDisk: absent('AttachDisk'),
    DetachDisk: absent('DetachDisk'),
    AttachNIC: absent('AttachNIC'),
    DetachNIC: absent('DetachNIC'),
    ChangeMedia: absent('ChangeMedia'),
    PrepareMigration: absent('PrepareMigration'),
    ReceiveMigration: absent('ReceiveMigration'),
    MigrateVM: absentStream('MigrateVM'),
    StreamMetrics: absentStream('StreamMetrics'),
    CreateVolume: absent('CreateVolume'),
    DeleteVolume: absent('DeleteVolume'),
    ResizeVolume: absent('ResizeVolume'),
    CloneVolume: absent('CloneVolume'),
    GetVolumeAttachInfo: absent('GetVolumeAttachInfo'),
    CreateVolumeSnapshot: absent('CreateVolumeSnapshot'),
    GetOVSStatus: absent('GetOVSStatus'),
    ConfigureNetworkPort: absent('ConfigureNetworkPort'),
    DeleteNetworkPort: absent('DeleteNetworkPort'),
    GetNetworkPortStatus: absent('GetNetworkPortStatus'),
    ListNetworkPorts: absent('ListNetworkPorts'),
  } satisfies Partial<NodeDaemonServiceHandlers>
}

function refuse(name: string): never {
  throw new AgentError('UNIMPLEMENTED', `${name} is part of the interface but not built in this version of the agent`)
}
