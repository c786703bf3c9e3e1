import type { Scope } from '../certificates/client-scopes.ts'
import { SERVICE_NAME } from './load-service.ts'

const METHODS: Readonly<Record<string, Scope>> = {
  HealthCheck: 'read',
  GetNodeInfo: 'read',
  GetVMStatus: 'read',
  ListVMs: 'read',
  ListSnapshots: 'read',
  StreamMetrics: 'read',
  StreamEvents: 'read',
  GetDownloadStatus: 'read',
  ListDownloads: 'read',
  GetStoragePoolInfo: 'read',
  ListStoragePools: 'read',
  ListStoragePoolFiles: 'read',
  GetOVSStatus: 'read',
  GetNetworkPortStatus: 'read',
  ListNetworkPorts: 'read',

  CreateVM: 'vm',
  StartVM: 'vm',
  StopVM: 'vm',
  ForceStopVM: 'vm',
  RebootVM: 'vm',
  PauseVM: 'vm',
  ResumeVM: 'vm',
  DeleteVM: 'vm',
  GetConsole: 'vm',
  CreateSnapshot: 'vm',
  RevertSnapshot: 'vm',
  DeleteSnapshot: 'vm',
  AttachDisk: 'vm',
  DetachDisk: 'vm',
  AttachNIC: 'vm',
  DetachNIC: 'vm',
  ChangeMedia: 'vm',
  PrepareMigration: 'vm',
  ReceiveMigration: 'vm',
  MigrateVM: 'vm',
  ConfigureNetworkPort: 'vm',
  DeleteNetworkPort: 'vm',

  DownloadImage: 'storage',
  CancelDownload: 'storage',
  InitStoragePool: 'storage',
  DestroyStoragePool: 'storage',
  CreateVolume: 'storage',
  DeleteVolume: 'storage',
  ResizeVolume: 'storage',
  CloneVolume: 'storage',
  GetVolumeAttachInfo: 'storage',
  CreateVolumeSnapshot: 'storage',
}

// Health checks and the description of the interface.
const READ_SERVICES = [
  'grpc.health.v1.Health',
  'grpc.reflection.v1.ServerReflection',
  'grpc.reflection.v1alpha.ServerReflection',
]

/** The scope that a call of `/package.Service/Method` needs; undefined for one that the table does not know, which nobody may make then. */
export function methodScope(path: string): Scope | undefined {
  const [, service = '', method = ''] = path.split('/')
  if (READ_SERVICES.includes(service)) return 'read'
  return service === SERVICE_NAME && Object.hasOwn(METHODS, method) ? METHODS[method] : undefined
}
