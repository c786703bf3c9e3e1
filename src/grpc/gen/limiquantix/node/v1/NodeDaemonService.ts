// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { AttachDiskRequest as _limiquantix_node_v1_AttachDiskRequest, AttachDiskRequest__Output as _limiquantix_node_v1_AttachDiskRequest__Output } from '../../../limiquantix/node/v1/AttachDiskRequest.ts';
import type { AttachNICRequest as _limiquantix_node_v1_AttachNICRequest, AttachNICRequest__Output as _limiquantix_node_v1_AttachNICRequest__Output } from '../../../limiquantix/node/v1/AttachNICRequest.ts';
import type { CancelDownloadRequest as _limiquantix_node_v1_CancelDownloadRequest, CancelDownloadRequest__Output as _limiquantix_node_v1_CancelDownloadRequest__Output } from '../../../limiquantix/node/v1/CancelDownloadRequest.ts';
import type { ChangeMediaRequest as _limiquantix_node_v1_ChangeMediaRequest, ChangeMediaRequest__Output as _limiquantix_node_v1_ChangeMediaRequest__Output } from '../../../limiquantix/node/v1/ChangeMediaRequest.ts';
import type { CloneVolumeRequest as _limiquantix_node_v1_CloneVolumeRequest, CloneVolumeRequest__Output as _limiquantix_node_v1_CloneVolumeRequest__Output } from '../../../limiquantix/node/v1/CloneVolumeRequest.ts';
import type { ConfigureNetworkPortRequest as _limiquantix_node_v1_ConfigureNetworkPortRequest, ConfigureNetworkPortRequest__Output as _limiquantix_node_v1_ConfigureNetworkPortRequest__Output } from '../../../limiquantix/node/v1/ConfigureNetworkPortRequest.ts';
import type { ConsoleInfoResponse as _limiquantix_node_v1_ConsoleInfoResponse, ConsoleInfoResponse__Output as _limiquantix_node_v1_ConsoleInfoResponse__Output } from '../../../limiquantix/node/v1/ConsoleInfoResponse.ts';
import type { CreateSnapshotRequest as _limiquantix_node_v1_CreateSnapshotRequest, CreateSnapshotRequest__Output as _limiquantix_node_v1_CreateSnapshotRequest__Output } from '../../../limiquantix/node/v1/CreateSnapshotRequest.ts';
import type { CreateVMOnNodeRequest as _limiquantix_node_v1_CreateVMOnNodeRequest, CreateVMOnNodeRequest__Output as _limiquantix_node_v1_CreateVMOnNodeRequest__Output } from '../../../limiquantix/node/v1/CreateVMOnNodeRequest.ts';
import type { CreateVMOnNodeResponse as _limiquantix_node_v1_CreateVMOnNodeResponse, CreateVMOnNodeResponse__Output as _limiquantix_node_v1_CreateVMOnNodeResponse__Output } from '../../../limiquantix/node/v1/CreateVMOnNodeResponse.ts';
import type { CreateVolumeRequest as _limiquantix_node_v1_CreateVolumeRequest, CreateVolumeRequest__Output as _limiquantix_node_v1_CreateVolumeRequest__Output } from '../../../limiquantix/node/v1/CreateVolumeRequest.ts';
import type { CreateVolumeSnapshotRequest as _limiquantix_node_v1_CreateVolumeSnapshotRequest, CreateVolumeSnapshotRequest__Output as _limiquantix_node_v1_CreateVolumeSnapshotRequest__Output } from '../../../limiquantix/node/v1/CreateVolumeSnapshotRequest.ts';
import type { DeleteNetworkPortRequest as _limiquantix_node_v1_DeleteNetworkPortRequest, DeleteNetworkPortRequest__Output as _limiquantix_node_v1_DeleteNetworkPortRequest__Output } from '../../../limiquantix/node/v1/DeleteNetworkPortRequest.ts';
import type { DeleteSnapshotRequest as _limiquantix_node_v1_DeleteSnapshotRequest, DeleteSnapshotRequest__Output as _limiquantix_node_v1_DeleteSnapshotRequest__Output } from '../../../limiquantix/node/v1/DeleteSnapshotRequest.ts';
import type { DetachDiskRequest as _limiquantix_node_v1_DetachDiskRequest, DetachDiskRequest__Output as _limiquantix_node_v1_DetachDiskRequest__Output } from '../../../limiquantix/node/v1/DetachDiskRequest.ts';
import type { DetachNICRequest as _limiquantix_node_v1_DetachNICRequest, DetachNICRequest__Output as _limiquantix_node_v1_DetachNICRequest__Output } from '../../../limiquantix/node/v1/DetachNICRequest.ts';
import type { DownloadImageOnNodeRequest as _limiquantix_node_v1_DownloadImageOnNodeRequest, DownloadImageOnNodeRequest__Output as _limiquantix_node_v1_DownloadImageOnNodeRequest__Output } from '../../../limiquantix/node/v1/DownloadImageOnNodeRequest.ts';
import type { DownloadProgress as _limiquantix_node_v1_DownloadProgress, DownloadProgress__Output as _limiquantix_node_v1_DownloadProgress__Output } from '../../../limiquantix/node/v1/DownloadProgress.ts';
import type { Empty as _google_protobuf_Empty, Empty__Output as _google_protobuf_Empty__Output } from '../../../google/protobuf/Empty.ts';
import type { GetDownloadStatusRequest as _limiquantix_node_v1_GetDownloadStatusRequest, GetDownloadStatusRequest__Output as _limiquantix_node_v1_GetDownloadStatusRequest__Output } from '../../../limiquantix/node/v1/GetDownloadStatusRequest.ts';
import type { GetNetworkPortStatusRequest as _limiquantix_node_v1_GetNetworkPortStatusRequest, GetNetworkPortStatusRequest__Output as _limiquantix_node_v1_GetNetworkPortStatusRequest__Output } from '../../../limiquantix/node/v1/GetNetworkPortStatusRequest.ts';
import type { HealthCheckRequest as _limiquantix_node_v1_HealthCheckRequest, HealthCheckRequest__Output as _limiquantix_node_v1_HealthCheckRequest__Output } from '../../../limiquantix/node/v1/HealthCheckRequest.ts';
import type { HealthCheckResponse as _limiquantix_node_v1_HealthCheckResponse, HealthCheckResponse__Output as _limiquantix_node_v1_HealthCheckResponse__Output } from '../../../limiquantix/node/v1/HealthCheckResponse.ts';
import type { InitStoragePoolRequest as _limiquantix_node_v1_InitStoragePoolRequest, InitStoragePoolRequest__Output as _limiquantix_node_v1_InitStoragePoolRequest__Output } from '../../../limiquantix/node/v1/InitStoragePoolRequest.ts';
import type { ListDownloadsResponse as _limiquantix_node_v1_ListDownloadsResponse, ListDownloadsResponse__Output as _limiquantix_node_v1_ListDownloadsResponse__Output } from '../../../limiquantix/node/v1/ListDownloadsResponse.ts';
import type { ListNetworkPortsResponse as _limiquantix_node_v1_ListNetworkPortsResponse, ListNetworkPortsResponse__Output as _limiquantix_node_v1_ListNetworkPortsResponse__Output } from '../../../limiquantix/node/v1/ListNetworkPortsResponse.ts';
import type { ListSnapshotsResponse as _limiquantix_node_v1_ListSnapshotsResponse, ListSnapshotsResponse__Output as _limiquantix_node_v1_ListSnapshotsResponse__Output } from '../../../limiquantix/node/v1/ListSnapshotsResponse.ts';
import type { ListStoragePoolFilesRequest as _limiquantix_node_v1_ListStoragePoolFilesRequest, ListStoragePoolFilesRequest__Output as _limiquantix_node_v1_ListStoragePoolFilesRequest__Output } from '../../../limiquantix/node/v1/ListStoragePoolFilesRequest.ts';
import type { ListStoragePoolFilesResponse as _limiquantix_node_v1_ListStoragePoolFilesResponse, ListStoragePoolFilesResponse__Output as _limiquantix_node_v1_ListStoragePoolFilesResponse__Output } from '../../../limiquantix/node/v1/ListStoragePoolFilesResponse.ts';
import type { ListStoragePoolsResponse as _limiquantix_node_v1_ListStoragePoolsResponse, ListStoragePoolsResponse__Output as _limiquantix_node_v1_ListStoragePoolsResponse__Output } from '../../../limiquantix/node/v1/ListStoragePoolsResponse.ts';
import type { ListVMsOnNodeResponse as _limiquantix_node_v1_ListVMsOnNodeResponse, ListVMsOnNodeResponse__Output as _limiquantix_node_v1_ListVMsOnNodeResponse__Output } from '../../../limiquantix/node/v1/ListVMsOnNodeResponse.ts';
import type { MigrateVMRequest as _limiquantix_node_v1_MigrateVMRequest, MigrateVMRequest__Output as _limiquantix_node_v1_MigrateVMRequest__Output } from '../../../limiquantix/node/v1/MigrateVMRequest.ts';
import type { MigrationProgress as _limiquantix_node_v1_MigrationProgress, MigrationProgress__Output as _limiquantix_node_v1_MigrationProgress__Output } from '../../../limiquantix/node/v1/MigrationProgress.ts';
import type { MigrationToken as _limiquantix_node_v1_MigrationToken, MigrationToken__Output as _limiquantix_node_v1_MigrationToken__Output } from '../../../limiquantix/node/v1/MigrationToken.ts';
import type { NetworkPortInfo as _limiquantix_node_v1_NetworkPortInfo, NetworkPortInfo__Output as _limiquantix_node_v1_NetworkPortInfo__Output } from '../../../limiquantix/node/v1/NetworkPortInfo.ts';
import type { NodeEvent as _limiquantix_node_v1_NodeEvent, NodeEvent__Output as _limiquantix_node_v1_NodeEvent__Output } from '../../../limiquantix/node/v1/NodeEvent.ts';
import type { NodeInfoResponse as _limiquantix_node_v1_NodeInfoResponse, NodeInfoResponse__Output as _limiquantix_node_v1_NodeInfoResponse__Output } from '../../../limiquantix/node/v1/NodeInfoResponse.ts';
import type { NodeMetrics as _limiquantix_node_v1_NodeMetrics, NodeMetrics__Output as _limiquantix_node_v1_NodeMetrics__Output } from '../../../limiquantix/node/v1/NodeMetrics.ts';
import type { OVSStatusResponse as _limiquantix_node_v1_OVSStatusResponse, OVSStatusResponse__Output as _limiquantix_node_v1_OVSStatusResponse__Output } from '../../../limiquantix/node/v1/OVSStatusResponse.ts';
import type { PrepareMigrationRequest as _limiquantix_node_v1_PrepareMigrationRequest, PrepareMigrationRequest__Output as _limiquantix_node_v1_PrepareMigrationRequest__Output } from '../../../limiquantix/node/v1/PrepareMigrationRequest.ts';
import type { ResizeVolumeRequest as _limiquantix_node_v1_ResizeVolumeRequest, ResizeVolumeRequest__Output as _limiquantix_node_v1_ResizeVolumeRequest__Output } from '../../../limiquantix/node/v1/ResizeVolumeRequest.ts';
import type { RevertSnapshotRequest as _limiquantix_node_v1_RevertSnapshotRequest, RevertSnapshotRequest__Output as _limiquantix_node_v1_RevertSnapshotRequest__Output } from '../../../limiquantix/node/v1/RevertSnapshotRequest.ts';
import type { SnapshotResponse as _limiquantix_node_v1_SnapshotResponse, SnapshotResponse__Output as _limiquantix_node_v1_SnapshotResponse__Output } from '../../../limiquantix/node/v1/SnapshotResponse.ts';
import type { StopVMRequest as _limiquantix_node_v1_StopVMRequest, StopVMRequest__Output as _limiquantix_node_v1_StopVMRequest__Output } from '../../../limiquantix/node/v1/StopVMRequest.ts';
import type { StoragePoolIdRequest as _limiquantix_node_v1_StoragePoolIdRequest, StoragePoolIdRequest__Output as _limiquantix_node_v1_StoragePoolIdRequest__Output } from '../../../limiquantix/node/v1/StoragePoolIdRequest.ts';
import type { StoragePoolInfoResponse as _limiquantix_node_v1_StoragePoolInfoResponse, StoragePoolInfoResponse__Output as _limiquantix_node_v1_StoragePoolInfoResponse__Output } from '../../../limiquantix/node/v1/StoragePoolInfoResponse.ts';
import type { StreamMetricsRequest as _limiquantix_node_v1_StreamMetricsRequest, StreamMetricsRequest__Output as _limiquantix_node_v1_StreamMetricsRequest__Output } from '../../../limiquantix/node/v1/StreamMetricsRequest.ts';
import type { VMIdRequest as _limiquantix_node_v1_VMIdRequest, VMIdRequest__Output as _limiquantix_node_v1_VMIdRequest__Output } from '../../../limiquantix/node/v1/VMIdRequest.ts';
import type { VMStatusResponse as _limiquantix_node_v1_VMStatusResponse, VMStatusResponse__Output as _limiquantix_node_v1_VMStatusResponse__Output } from '../../../limiquantix/node/v1/VMStatusResponse.ts';
import type { VolumeAttachInfoResponse as _limiquantix_node_v1_VolumeAttachInfoResponse, VolumeAttachInfoResponse__Output as _limiquantix_node_v1_VolumeAttachInfoResponse__Output } from '../../../limiquantix/node/v1/VolumeAttachInfoResponse.ts';
import type { VolumeIdRequest as _limiquantix_node_v1_VolumeIdRequest, VolumeIdRequest__Output as _limiquantix_node_v1_VolumeIdRequest__Output } from '../../../limiquantix/node/v1/VolumeIdRequest.ts';

/**
 * Everything a control plane asks of one hypervisor host.
 */
export interface NodeDaemonServiceClient extends grpc.Client {
  /**
   * Adds a disk to a VM, in the running guest and for the next start alike. One without path and pool is made next to the VM's first disk.
   */
  AttachDisk(argument: _limiquantix_node_v1_AttachDiskRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  AttachDisk(argument: _limiquantix_node_v1_AttachDiskRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  AttachDisk(argument: _limiquantix_node_v1_AttachDiskRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  AttachDisk(argument: _limiquantix_node_v1_AttachDiskRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  /**
   * Adds a disk to a VM, in the running guest and for the next start alike. One without path and pool is made next to the VM's first disk.
   */
  attachDisk(argument: _limiquantix_node_v1_AttachDiskRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  attachDisk(argument: _limiquantix_node_v1_AttachDiskRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  attachDisk(argument: _limiquantix_node_v1_AttachDiskRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  attachDisk(argument: _limiquantix_node_v1_AttachDiskRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  
  /**
   * Adds a network interface to a VM, in the running guest and for the next start alike.
   */
  AttachNIC(argument: _limiquantix_node_v1_AttachNICRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  AttachNIC(argument: _limiquantix_node_v1_AttachNICRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  AttachNIC(argument: _limiquantix_node_v1_AttachNICRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  AttachNIC(argument: _limiquantix_node_v1_AttachNICRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  /**
   * Adds a network interface to a VM, in the running guest and for the next start alike.
   */
  attachNic(argument: _limiquantix_node_v1_AttachNICRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  attachNic(argument: _limiquantix_node_v1_AttachNICRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  attachNic(argument: _limiquantix_node_v1_AttachNICRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  attachNic(argument: _limiquantix_node_v1_AttachNICRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  
  /**
   * Cancels a running download job and removes what it had written.
   */
  CancelDownload(argument: _limiquantix_node_v1_CancelDownloadRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  CancelDownload(argument: _limiquantix_node_v1_CancelDownloadRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  CancelDownload(argument: _limiquantix_node_v1_CancelDownloadRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  CancelDownload(argument: _limiquantix_node_v1_CancelDownloadRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  /**
   * Cancels a running download job and removes what it had written.
   */
  cancelDownload(argument: _limiquantix_node_v1_CancelDownloadRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  cancelDownload(argument: _limiquantix_node_v1_CancelDownloadRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  cancelDownload(argument: _limiquantix_node_v1_CancelDownloadRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  cancelDownload(argument: _limiquantix_node_v1_CancelDownloadRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  
  /**
   * Inserts or ejects a CD-ROM image, in the running guest and for the next start alike.
   */
  ChangeMedia(argument: _limiquantix_node_v1_ChangeMediaRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  ChangeMedia(argument: _limiquantix_node_v1_ChangeMediaRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  ChangeMedia(argument: _limiquantix_node_v1_ChangeMediaRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  ChangeMedia(argument: _limiquantix_node_v1_ChangeMediaRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  /**
   * Inserts or ejects a CD-ROM image, in the running guest and for the next start alike.
   */
  changeMedia(argument: _limiquantix_node_v1_ChangeMediaRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  changeMedia(argument: _limiquantix_node_v1_ChangeMediaRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  changeMedia(argument: _limiquantix_node_v1_ChangeMediaRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  changeMedia(argument: _limiquantix_node_v1_ChangeMediaRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  
  /**
   * Copies a volume. Not built in this version: UNIMPLEMENTED.
   */
  CloneVolume(argument: _limiquantix_node_v1_CloneVolumeRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  CloneVolume(argument: _limiquantix_node_v1_CloneVolumeRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  CloneVolume(argument: _limiquantix_node_v1_CloneVolumeRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  CloneVolume(argument: _limiquantix_node_v1_CloneVolumeRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  /**
   * Copies a volume. Not built in this version: UNIMPLEMENTED.
   */
  cloneVolume(argument: _limiquantix_node_v1_CloneVolumeRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  cloneVolume(argument: _limiquantix_node_v1_CloneVolumeRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  cloneVolume(argument: _limiquantix_node_v1_CloneVolumeRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  cloneVolume(argument: _limiquantix_node_v1_CloneVolumeRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  
  /**
   * Makes a virtual network port. Not built in this version: UNIMPLEMENTED.
   */
  ConfigureNetworkPort(argument: _limiquantix_node_v1_ConfigureNetworkPortRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_NetworkPortInfo__Output>): grpc.ClientUnaryCall;
  ConfigureNetworkPort(argument: _limiquantix_node_v1_ConfigureNetworkPortRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_NetworkPortInfo__Output>): grpc.ClientUnaryCall;
  ConfigureNetworkPort(argument: _limiquantix_node_v1_ConfigureNetworkPortRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_NetworkPortInfo__Output>): grpc.ClientUnaryCall;
  ConfigureNetworkPort(argument: _limiquantix_node_v1_ConfigureNetworkPortRequest, callback: grpc.requestCallback<_limiquantix_node_v1_NetworkPortInfo__Output>): grpc.ClientUnaryCall;
  /**
   * Makes a virtual network port. Not built in this version: UNIMPLEMENTED.
   */
  configureNetworkPort(argument: _limiquantix_node_v1_ConfigureNetworkPortRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_NetworkPortInfo__Output>): grpc.ClientUnaryCall;
  configureNetworkPort(argument: _limiquantix_node_v1_ConfigureNetworkPortRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_NetworkPortInfo__Output>): grpc.ClientUnaryCall;
  configureNetworkPort(argument: _limiquantix_node_v1_ConfigureNetworkPortRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_NetworkPortInfo__Output>): grpc.ClientUnaryCall;
  configureNetworkPort(argument: _limiquantix_node_v1_ConfigureNetworkPortRequest, callback: grpc.requestCallback<_limiquantix_node_v1_NetworkPortInfo__Output>): grpc.ClientUnaryCall;
  
  /**
   * Takes a snapshot of a VM inside its qcow2 disks, of a running one with its memory. The same again is the same snapshot.
   */
  CreateSnapshot(argument: _limiquantix_node_v1_CreateSnapshotRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_SnapshotResponse__Output>): grpc.ClientUnaryCall;
  CreateSnapshot(argument: _limiquantix_node_v1_CreateSnapshotRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_SnapshotResponse__Output>): grpc.ClientUnaryCall;
  CreateSnapshot(argument: _limiquantix_node_v1_CreateSnapshotRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_SnapshotResponse__Output>): grpc.ClientUnaryCall;
  CreateSnapshot(argument: _limiquantix_node_v1_CreateSnapshotRequest, callback: grpc.requestCallback<_limiquantix_node_v1_SnapshotResponse__Output>): grpc.ClientUnaryCall;
  /**
   * Takes a snapshot of a VM inside its qcow2 disks, of a running one with its memory. The same again is the same snapshot.
   */
  createSnapshot(argument: _limiquantix_node_v1_CreateSnapshotRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_SnapshotResponse__Output>): grpc.ClientUnaryCall;
  createSnapshot(argument: _limiquantix_node_v1_CreateSnapshotRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_SnapshotResponse__Output>): grpc.ClientUnaryCall;
  createSnapshot(argument: _limiquantix_node_v1_CreateSnapshotRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_SnapshotResponse__Output>): grpc.ClientUnaryCall;
  createSnapshot(argument: _limiquantix_node_v1_CreateSnapshotRequest, callback: grpc.requestCallback<_limiquantix_node_v1_SnapshotResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * Makes the disks, the cloud-init seed and the libvirt domain; the VM is off afterwards. Either all of it is there
   * or nothing. The same request again is the same VM with created = false. A caller that hangs up does not stop the
   * work.
   */
  CreateVM(argument: _limiquantix_node_v1_CreateVMOnNodeRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_CreateVMOnNodeResponse__Output>): grpc.ClientUnaryCall;
  CreateVM(argument: _limiquantix_node_v1_CreateVMOnNodeRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_CreateVMOnNodeResponse__Output>): grpc.ClientUnaryCall;
  CreateVM(argument: _limiquantix_node_v1_CreateVMOnNodeRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_CreateVMOnNodeResponse__Output>): grpc.ClientUnaryCall;
  CreateVM(argument: _limiquantix_node_v1_CreateVMOnNodeRequest, callback: grpc.requestCallback<_limiquantix_node_v1_CreateVMOnNodeResponse__Output>): grpc.ClientUnaryCall;
  /**
   * Makes the disks, the cloud-init seed and the libvirt domain; the VM is off afterwards. Either all of it is there
   * or nothing. The same request again is the same VM with created = false. A caller that hangs up does not stop the
   * work.
   */
  createVm(argument: _limiquantix_node_v1_CreateVMOnNodeRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_CreateVMOnNodeResponse__Output>): grpc.ClientUnaryCall;
  createVm(argument: _limiquantix_node_v1_CreateVMOnNodeRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_CreateVMOnNodeResponse__Output>): grpc.ClientUnaryCall;
  createVm(argument: _limiquantix_node_v1_CreateVMOnNodeRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_CreateVMOnNodeResponse__Output>): grpc.ClientUnaryCall;
  createVm(argument: _limiquantix_node_v1_CreateVMOnNodeRequest, callback: grpc.requestCallback<_limiquantix_node_v1_CreateVMOnNodeResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * Makes a volume in a pool. Not built in this version: UNIMPLEMENTED.
   */
  CreateVolume(argument: _limiquantix_node_v1_CreateVolumeRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  CreateVolume(argument: _limiquantix_node_v1_CreateVolumeRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  CreateVolume(argument: _limiquantix_node_v1_CreateVolumeRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  CreateVolume(argument: _limiquantix_node_v1_CreateVolumeRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  /**
   * Makes a volume in a pool. Not built in this version: UNIMPLEMENTED.
   */
  createVolume(argument: _limiquantix_node_v1_CreateVolumeRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  createVolume(argument: _limiquantix_node_v1_CreateVolumeRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  createVolume(argument: _limiquantix_node_v1_CreateVolumeRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  createVolume(argument: _limiquantix_node_v1_CreateVolumeRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  
  /**
   * Takes a snapshot of a volume. Not built in this version: UNIMPLEMENTED.
   */
  CreateVolumeSnapshot(argument: _limiquantix_node_v1_CreateVolumeSnapshotRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  CreateVolumeSnapshot(argument: _limiquantix_node_v1_CreateVolumeSnapshotRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  CreateVolumeSnapshot(argument: _limiquantix_node_v1_CreateVolumeSnapshotRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  CreateVolumeSnapshot(argument: _limiquantix_node_v1_CreateVolumeSnapshotRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  /**
   * Takes a snapshot of a volume. Not built in this version: UNIMPLEMENTED.
   */
  createVolumeSnapshot(argument: _limiquantix_node_v1_CreateVolumeSnapshotRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  createVolumeSnapshot(argument: _limiquantix_node_v1_CreateVolumeSnapshotRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  createVolumeSnapshot(argument: _limiquantix_node_v1_CreateVolumeSnapshotRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  createVolumeSnapshot(argument: _limiquantix_node_v1_CreateVolumeSnapshotRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  
  /**
   * Removes a port. Not built in this version: UNIMPLEMENTED.
   */
  DeleteNetworkPort(argument: _limiquantix_node_v1_DeleteNetworkPortRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  DeleteNetworkPort(argument: _limiquantix_node_v1_DeleteNetworkPortRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  DeleteNetworkPort(argument: _limiquantix_node_v1_DeleteNetworkPortRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  DeleteNetworkPort(argument: _limiquantix_node_v1_DeleteNetworkPortRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  /**
   * Removes a port. Not built in this version: UNIMPLEMENTED.
   */
  deleteNetworkPort(argument: _limiquantix_node_v1_DeleteNetworkPortRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  deleteNetworkPort(argument: _limiquantix_node_v1_DeleteNetworkPortRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  deleteNetworkPort(argument: _limiquantix_node_v1_DeleteNetworkPortRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  deleteNetworkPort(argument: _limiquantix_node_v1_DeleteNetworkPortRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  
  /**
   * Removes a snapshot; later ones stay. Success when it is gone.
   */
  DeleteSnapshot(argument: _limiquantix_node_v1_DeleteSnapshotRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  DeleteSnapshot(argument: _limiquantix_node_v1_DeleteSnapshotRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  DeleteSnapshot(argument: _limiquantix_node_v1_DeleteSnapshotRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  DeleteSnapshot(argument: _limiquantix_node_v1_DeleteSnapshotRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  /**
   * Removes a snapshot; later ones stay. Success when it is gone.
   */
  deleteSnapshot(argument: _limiquantix_node_v1_DeleteSnapshotRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  deleteSnapshot(argument: _limiquantix_node_v1_DeleteSnapshotRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  deleteSnapshot(argument: _limiquantix_node_v1_DeleteSnapshotRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  deleteSnapshot(argument: _limiquantix_node_v1_DeleteSnapshotRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  
  /**
   * Powers the VM off if needed, removes its domain and the volumes that were made for it. Success when it is gone.
   */
  DeleteVM(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  DeleteVM(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  DeleteVM(argument: _limiquantix_node_v1_VMIdRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  DeleteVM(argument: _limiquantix_node_v1_VMIdRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  /**
   * Powers the VM off if needed, removes its domain and the volumes that were made for it. Success when it is gone.
   */
  deleteVm(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  deleteVm(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  deleteVm(argument: _limiquantix_node_v1_VMIdRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  deleteVm(argument: _limiquantix_node_v1_VMIdRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  
  /**
   * Removes a volume. Not built in this version: UNIMPLEMENTED.
   */
  DeleteVolume(argument: _limiquantix_node_v1_VolumeIdRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  DeleteVolume(argument: _limiquantix_node_v1_VolumeIdRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  DeleteVolume(argument: _limiquantix_node_v1_VolumeIdRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  DeleteVolume(argument: _limiquantix_node_v1_VolumeIdRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  /**
   * Removes a volume. Not built in this version: UNIMPLEMENTED.
   */
  deleteVolume(argument: _limiquantix_node_v1_VolumeIdRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  deleteVolume(argument: _limiquantix_node_v1_VolumeIdRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  deleteVolume(argument: _limiquantix_node_v1_VolumeIdRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  deleteVolume(argument: _limiquantix_node_v1_VolumeIdRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  
  /**
   * Forgets a pool and detaches its storage. Never deletes data; FAILED_PRECONDITION naming the users while it is in
   * use.
   */
  DestroyStoragePool(argument: _limiquantix_node_v1_StoragePoolIdRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  DestroyStoragePool(argument: _limiquantix_node_v1_StoragePoolIdRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  DestroyStoragePool(argument: _limiquantix_node_v1_StoragePoolIdRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  DestroyStoragePool(argument: _limiquantix_node_v1_StoragePoolIdRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  /**
   * Forgets a pool and detaches its storage. Never deletes data; FAILED_PRECONDITION naming the users while it is in
   * use.
   */
  destroyStoragePool(argument: _limiquantix_node_v1_StoragePoolIdRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  destroyStoragePool(argument: _limiquantix_node_v1_StoragePoolIdRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  destroyStoragePool(argument: _limiquantix_node_v1_StoragePoolIdRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  destroyStoragePool(argument: _limiquantix_node_v1_StoragePoolIdRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  
  /**
   * Takes a disk out of a VM and waits until a running guest has let it go (DEADLINE_EXCEEDED: it keeps it). Its data stay.
   */
  DetachDisk(argument: _limiquantix_node_v1_DetachDiskRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  DetachDisk(argument: _limiquantix_node_v1_DetachDiskRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  DetachDisk(argument: _limiquantix_node_v1_DetachDiskRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  DetachDisk(argument: _limiquantix_node_v1_DetachDiskRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  /**
   * Takes a disk out of a VM and waits until a running guest has let it go (DEADLINE_EXCEEDED: it keeps it). Its data stay.
   */
  detachDisk(argument: _limiquantix_node_v1_DetachDiskRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  detachDisk(argument: _limiquantix_node_v1_DetachDiskRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  detachDisk(argument: _limiquantix_node_v1_DetachDiskRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  detachDisk(argument: _limiquantix_node_v1_DetachDiskRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  
  /**
   * Takes a network interface out of a VM and waits until a running guest has let it go (DEADLINE_EXCEEDED: it keeps it).
   */
  DetachNIC(argument: _limiquantix_node_v1_DetachNICRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  DetachNIC(argument: _limiquantix_node_v1_DetachNICRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  DetachNIC(argument: _limiquantix_node_v1_DetachNICRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  DetachNIC(argument: _limiquantix_node_v1_DetachNICRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  /**
   * Takes a network interface out of a VM and waits until a running guest has let it go (DEADLINE_EXCEEDED: it keeps it).
   */
  detachNic(argument: _limiquantix_node_v1_DetachNICRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  detachNic(argument: _limiquantix_node_v1_DetachNICRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  detachNic(argument: _limiquantix_node_v1_DetachNICRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  detachNic(argument: _limiquantix_node_v1_DetachNICRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  
  /**
   * Begins an image download (or joins the one with the same job_id) and streams its progress until it is final.
   * Ending the stream does not cancel the job.
   */
  DownloadImage(argument: _limiquantix_node_v1_DownloadImageOnNodeRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_limiquantix_node_v1_DownloadProgress__Output>;
  DownloadImage(argument: _limiquantix_node_v1_DownloadImageOnNodeRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_limiquantix_node_v1_DownloadProgress__Output>;
  /**
   * Begins an image download (or joins the one with the same job_id) and streams its progress until it is final.
   * Ending the stream does not cancel the job.
   */
  downloadImage(argument: _limiquantix_node_v1_DownloadImageOnNodeRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_limiquantix_node_v1_DownloadProgress__Output>;
  downloadImage(argument: _limiquantix_node_v1_DownloadImageOnNodeRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_limiquantix_node_v1_DownloadProgress__Output>;
  
  /**
   * Cuts the power; success when it is off.
   */
  ForceStopVM(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  ForceStopVM(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  ForceStopVM(argument: _limiquantix_node_v1_VMIdRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  ForceStopVM(argument: _limiquantix_node_v1_VMIdRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  /**
   * Cuts the power; success when it is off.
   */
  forceStopVm(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  forceStopVm(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  forceStopVm(argument: _limiquantix_node_v1_VMIdRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  forceStopVm(argument: _limiquantix_node_v1_VMIdRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  
  /**
   * Where the graphical console of a VM listens. Not built in this version: UNIMPLEMENTED.
   */
  GetConsole(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_ConsoleInfoResponse__Output>): grpc.ClientUnaryCall;
  GetConsole(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_ConsoleInfoResponse__Output>): grpc.ClientUnaryCall;
  GetConsole(argument: _limiquantix_node_v1_VMIdRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_ConsoleInfoResponse__Output>): grpc.ClientUnaryCall;
  GetConsole(argument: _limiquantix_node_v1_VMIdRequest, callback: grpc.requestCallback<_limiquantix_node_v1_ConsoleInfoResponse__Output>): grpc.ClientUnaryCall;
  /**
   * Where the graphical console of a VM listens. Not built in this version: UNIMPLEMENTED.
   */
  getConsole(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_ConsoleInfoResponse__Output>): grpc.ClientUnaryCall;
  getConsole(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_ConsoleInfoResponse__Output>): grpc.ClientUnaryCall;
  getConsole(argument: _limiquantix_node_v1_VMIdRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_ConsoleInfoResponse__Output>): grpc.ClientUnaryCall;
  getConsole(argument: _limiquantix_node_v1_VMIdRequest, callback: grpc.requestCallback<_limiquantix_node_v1_ConsoleInfoResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * The present progress of a download job. NOT_FOUND for an unknown job.
   */
  GetDownloadStatus(argument: _limiquantix_node_v1_GetDownloadStatusRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_DownloadProgress__Output>): grpc.ClientUnaryCall;
  GetDownloadStatus(argument: _limiquantix_node_v1_GetDownloadStatusRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_DownloadProgress__Output>): grpc.ClientUnaryCall;
  GetDownloadStatus(argument: _limiquantix_node_v1_GetDownloadStatusRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_DownloadProgress__Output>): grpc.ClientUnaryCall;
  GetDownloadStatus(argument: _limiquantix_node_v1_GetDownloadStatusRequest, callback: grpc.requestCallback<_limiquantix_node_v1_DownloadProgress__Output>): grpc.ClientUnaryCall;
  /**
   * The present progress of a download job. NOT_FOUND for an unknown job.
   */
  getDownloadStatus(argument: _limiquantix_node_v1_GetDownloadStatusRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_DownloadProgress__Output>): grpc.ClientUnaryCall;
  getDownloadStatus(argument: _limiquantix_node_v1_GetDownloadStatusRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_DownloadProgress__Output>): grpc.ClientUnaryCall;
  getDownloadStatus(argument: _limiquantix_node_v1_GetDownloadStatusRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_DownloadProgress__Output>): grpc.ClientUnaryCall;
  getDownloadStatus(argument: _limiquantix_node_v1_GetDownloadStatusRequest, callback: grpc.requestCallback<_limiquantix_node_v1_DownloadProgress__Output>): grpc.ClientUnaryCall;
  
  /**
   * State of a port. Not built in this version: UNIMPLEMENTED.
   */
  GetNetworkPortStatus(argument: _limiquantix_node_v1_GetNetworkPortStatusRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_NetworkPortInfo__Output>): grpc.ClientUnaryCall;
  GetNetworkPortStatus(argument: _limiquantix_node_v1_GetNetworkPortStatusRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_NetworkPortInfo__Output>): grpc.ClientUnaryCall;
  GetNetworkPortStatus(argument: _limiquantix_node_v1_GetNetworkPortStatusRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_NetworkPortInfo__Output>): grpc.ClientUnaryCall;
  GetNetworkPortStatus(argument: _limiquantix_node_v1_GetNetworkPortStatusRequest, callback: grpc.requestCallback<_limiquantix_node_v1_NetworkPortInfo__Output>): grpc.ClientUnaryCall;
  /**
   * State of a port. Not built in this version: UNIMPLEMENTED.
   */
  getNetworkPortStatus(argument: _limiquantix_node_v1_GetNetworkPortStatusRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_NetworkPortInfo__Output>): grpc.ClientUnaryCall;
  getNetworkPortStatus(argument: _limiquantix_node_v1_GetNetworkPortStatusRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_NetworkPortInfo__Output>): grpc.ClientUnaryCall;
  getNetworkPortStatus(argument: _limiquantix_node_v1_GetNetworkPortStatusRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_NetworkPortInfo__Output>): grpc.ClientUnaryCall;
  getNetworkPortStatus(argument: _limiquantix_node_v1_GetNetworkPortStatusRequest, callback: grpc.requestCallback<_limiquantix_node_v1_NetworkPortInfo__Output>): grpc.ClientUnaryCall;
  
  /**
   * Inventory of the host and abilities of its hypervisor.
   */
  GetNodeInfo(argument: _google_protobuf_Empty, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_NodeInfoResponse__Output>): grpc.ClientUnaryCall;
  GetNodeInfo(argument: _google_protobuf_Empty, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_NodeInfoResponse__Output>): grpc.ClientUnaryCall;
  GetNodeInfo(argument: _google_protobuf_Empty, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_NodeInfoResponse__Output>): grpc.ClientUnaryCall;
  GetNodeInfo(argument: _google_protobuf_Empty, callback: grpc.requestCallback<_limiquantix_node_v1_NodeInfoResponse__Output>): grpc.ClientUnaryCall;
  /**
   * Inventory of the host and abilities of its hypervisor.
   */
  getNodeInfo(argument: _google_protobuf_Empty, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_NodeInfoResponse__Output>): grpc.ClientUnaryCall;
  getNodeInfo(argument: _google_protobuf_Empty, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_NodeInfoResponse__Output>): grpc.ClientUnaryCall;
  getNodeInfo(argument: _google_protobuf_Empty, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_NodeInfoResponse__Output>): grpc.ClientUnaryCall;
  getNodeInfo(argument: _google_protobuf_Empty, callback: grpc.requestCallback<_limiquantix_node_v1_NodeInfoResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * State of Open vSwitch and OVN. Not built in this version: UNIMPLEMENTED.
   */
  GetOVSStatus(argument: _google_protobuf_Empty, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_OVSStatusResponse__Output>): grpc.ClientUnaryCall;
  GetOVSStatus(argument: _google_protobuf_Empty, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_OVSStatusResponse__Output>): grpc.ClientUnaryCall;
  GetOVSStatus(argument: _google_protobuf_Empty, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_OVSStatusResponse__Output>): grpc.ClientUnaryCall;
  GetOVSStatus(argument: _google_protobuf_Empty, callback: grpc.requestCallback<_limiquantix_node_v1_OVSStatusResponse__Output>): grpc.ClientUnaryCall;
  /**
   * State of Open vSwitch and OVN. Not built in this version: UNIMPLEMENTED.
   */
  getOvsStatus(argument: _google_protobuf_Empty, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_OVSStatusResponse__Output>): grpc.ClientUnaryCall;
  getOvsStatus(argument: _google_protobuf_Empty, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_OVSStatusResponse__Output>): grpc.ClientUnaryCall;
  getOvsStatus(argument: _google_protobuf_Empty, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_OVSStatusResponse__Output>): grpc.ClientUnaryCall;
  getOvsStatus(argument: _google_protobuf_Empty, callback: grpc.requestCallback<_limiquantix_node_v1_OVSStatusResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * One pool with the capacity and health of its last probe.
   */
  GetStoragePoolInfo(argument: _limiquantix_node_v1_StoragePoolIdRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_StoragePoolInfoResponse__Output>): grpc.ClientUnaryCall;
  GetStoragePoolInfo(argument: _limiquantix_node_v1_StoragePoolIdRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_StoragePoolInfoResponse__Output>): grpc.ClientUnaryCall;
  GetStoragePoolInfo(argument: _limiquantix_node_v1_StoragePoolIdRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_StoragePoolInfoResponse__Output>): grpc.ClientUnaryCall;
  GetStoragePoolInfo(argument: _limiquantix_node_v1_StoragePoolIdRequest, callback: grpc.requestCallback<_limiquantix_node_v1_StoragePoolInfoResponse__Output>): grpc.ClientUnaryCall;
  /**
   * One pool with the capacity and health of its last probe.
   */
  getStoragePoolInfo(argument: _limiquantix_node_v1_StoragePoolIdRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_StoragePoolInfoResponse__Output>): grpc.ClientUnaryCall;
  getStoragePoolInfo(argument: _limiquantix_node_v1_StoragePoolIdRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_StoragePoolInfoResponse__Output>): grpc.ClientUnaryCall;
  getStoragePoolInfo(argument: _limiquantix_node_v1_StoragePoolIdRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_StoragePoolInfoResponse__Output>): grpc.ClientUnaryCall;
  getStoragePoolInfo(argument: _limiquantix_node_v1_StoragePoolIdRequest, callback: grpc.requestCallback<_limiquantix_node_v1_StoragePoolInfoResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * State of one VM. NOT_FOUND "VM not found: ..." only when libvirt itself says that there is no such domain.
   */
  GetVMStatus(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_VMStatusResponse__Output>): grpc.ClientUnaryCall;
  GetVMStatus(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_VMStatusResponse__Output>): grpc.ClientUnaryCall;
  GetVMStatus(argument: _limiquantix_node_v1_VMIdRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_VMStatusResponse__Output>): grpc.ClientUnaryCall;
  GetVMStatus(argument: _limiquantix_node_v1_VMIdRequest, callback: grpc.requestCallback<_limiquantix_node_v1_VMStatusResponse__Output>): grpc.ClientUnaryCall;
  /**
   * State of one VM. NOT_FOUND "VM not found: ..." only when libvirt itself says that there is no such domain.
   */
  getVmStatus(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_VMStatusResponse__Output>): grpc.ClientUnaryCall;
  getVmStatus(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_VMStatusResponse__Output>): grpc.ClientUnaryCall;
  getVmStatus(argument: _limiquantix_node_v1_VMIdRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_VMStatusResponse__Output>): grpc.ClientUnaryCall;
  getVmStatus(argument: _limiquantix_node_v1_VMIdRequest, callback: grpc.requestCallback<_limiquantix_node_v1_VMStatusResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * How a domain reaches a volume. Not built in this version: UNIMPLEMENTED.
   */
  GetVolumeAttachInfo(argument: _limiquantix_node_v1_VolumeIdRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_VolumeAttachInfoResponse__Output>): grpc.ClientUnaryCall;
  GetVolumeAttachInfo(argument: _limiquantix_node_v1_VolumeIdRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_VolumeAttachInfoResponse__Output>): grpc.ClientUnaryCall;
  GetVolumeAttachInfo(argument: _limiquantix_node_v1_VolumeIdRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_VolumeAttachInfoResponse__Output>): grpc.ClientUnaryCall;
  GetVolumeAttachInfo(argument: _limiquantix_node_v1_VolumeIdRequest, callback: grpc.requestCallback<_limiquantix_node_v1_VolumeAttachInfoResponse__Output>): grpc.ClientUnaryCall;
  /**
   * How a domain reaches a volume. Not built in this version: UNIMPLEMENTED.
   */
  getVolumeAttachInfo(argument: _limiquantix_node_v1_VolumeIdRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_VolumeAttachInfoResponse__Output>): grpc.ClientUnaryCall;
  getVolumeAttachInfo(argument: _limiquantix_node_v1_VolumeIdRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_VolumeAttachInfoResponse__Output>): grpc.ClientUnaryCall;
  getVolumeAttachInfo(argument: _limiquantix_node_v1_VolumeIdRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_VolumeAttachInfoResponse__Output>): grpc.ClientUnaryCall;
  getVolumeAttachInfo(argument: _limiquantix_node_v1_VolumeIdRequest, callback: grpc.requestCallback<_limiquantix_node_v1_VolumeAttachInfoResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * Liveness and versions. Answered from memory: it never waits for libvirt, a pool or a running call.
   */
  HealthCheck(argument: _limiquantix_node_v1_HealthCheckRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_HealthCheckResponse__Output>): grpc.ClientUnaryCall;
  HealthCheck(argument: _limiquantix_node_v1_HealthCheckRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_HealthCheckResponse__Output>): grpc.ClientUnaryCall;
  HealthCheck(argument: _limiquantix_node_v1_HealthCheckRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_HealthCheckResponse__Output>): grpc.ClientUnaryCall;
  HealthCheck(argument: _limiquantix_node_v1_HealthCheckRequest, callback: grpc.requestCallback<_limiquantix_node_v1_HealthCheckResponse__Output>): grpc.ClientUnaryCall;
  /**
   * Liveness and versions. Answered from memory: it never waits for libvirt, a pool or a running call.
   */
  healthCheck(argument: _limiquantix_node_v1_HealthCheckRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_HealthCheckResponse__Output>): grpc.ClientUnaryCall;
  healthCheck(argument: _limiquantix_node_v1_HealthCheckRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_HealthCheckResponse__Output>): grpc.ClientUnaryCall;
  healthCheck(argument: _limiquantix_node_v1_HealthCheckRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_HealthCheckResponse__Output>): grpc.ClientUnaryCall;
  healthCheck(argument: _limiquantix_node_v1_HealthCheckRequest, callback: grpc.requestCallback<_limiquantix_node_v1_HealthCheckResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * Makes a pool usable on this host and remembers it across restarts. The same again is success.
   */
  InitStoragePool(argument: _limiquantix_node_v1_InitStoragePoolRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_StoragePoolInfoResponse__Output>): grpc.ClientUnaryCall;
  InitStoragePool(argument: _limiquantix_node_v1_InitStoragePoolRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_StoragePoolInfoResponse__Output>): grpc.ClientUnaryCall;
  InitStoragePool(argument: _limiquantix_node_v1_InitStoragePoolRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_StoragePoolInfoResponse__Output>): grpc.ClientUnaryCall;
  InitStoragePool(argument: _limiquantix_node_v1_InitStoragePoolRequest, callback: grpc.requestCallback<_limiquantix_node_v1_StoragePoolInfoResponse__Output>): grpc.ClientUnaryCall;
  /**
   * Makes a pool usable on this host and remembers it across restarts. The same again is success.
   */
  initStoragePool(argument: _limiquantix_node_v1_InitStoragePoolRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_StoragePoolInfoResponse__Output>): grpc.ClientUnaryCall;
  initStoragePool(argument: _limiquantix_node_v1_InitStoragePoolRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_StoragePoolInfoResponse__Output>): grpc.ClientUnaryCall;
  initStoragePool(argument: _limiquantix_node_v1_InitStoragePoolRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_StoragePoolInfoResponse__Output>): grpc.ClientUnaryCall;
  initStoragePool(argument: _limiquantix_node_v1_InitStoragePoolRequest, callback: grpc.requestCallback<_limiquantix_node_v1_StoragePoolInfoResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * Lists every download job that the agent remembers, running ones first.
   */
  ListDownloads(argument: _google_protobuf_Empty, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_ListDownloadsResponse__Output>): grpc.ClientUnaryCall;
  ListDownloads(argument: _google_protobuf_Empty, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_ListDownloadsResponse__Output>): grpc.ClientUnaryCall;
  ListDownloads(argument: _google_protobuf_Empty, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_ListDownloadsResponse__Output>): grpc.ClientUnaryCall;
  ListDownloads(argument: _google_protobuf_Empty, callback: grpc.requestCallback<_limiquantix_node_v1_ListDownloadsResponse__Output>): grpc.ClientUnaryCall;
  /**
   * Lists every download job that the agent remembers, running ones first.
   */
  listDownloads(argument: _google_protobuf_Empty, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_ListDownloadsResponse__Output>): grpc.ClientUnaryCall;
  listDownloads(argument: _google_protobuf_Empty, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_ListDownloadsResponse__Output>): grpc.ClientUnaryCall;
  listDownloads(argument: _google_protobuf_Empty, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_ListDownloadsResponse__Output>): grpc.ClientUnaryCall;
  listDownloads(argument: _google_protobuf_Empty, callback: grpc.requestCallback<_limiquantix_node_v1_ListDownloadsResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * Every port of this host. Not built in this version: UNIMPLEMENTED.
   */
  ListNetworkPorts(argument: _google_protobuf_Empty, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_ListNetworkPortsResponse__Output>): grpc.ClientUnaryCall;
  ListNetworkPorts(argument: _google_protobuf_Empty, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_ListNetworkPortsResponse__Output>): grpc.ClientUnaryCall;
  ListNetworkPorts(argument: _google_protobuf_Empty, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_ListNetworkPortsResponse__Output>): grpc.ClientUnaryCall;
  ListNetworkPorts(argument: _google_protobuf_Empty, callback: grpc.requestCallback<_limiquantix_node_v1_ListNetworkPortsResponse__Output>): grpc.ClientUnaryCall;
  /**
   * Every port of this host. Not built in this version: UNIMPLEMENTED.
   */
  listNetworkPorts(argument: _google_protobuf_Empty, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_ListNetworkPortsResponse__Output>): grpc.ClientUnaryCall;
  listNetworkPorts(argument: _google_protobuf_Empty, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_ListNetworkPortsResponse__Output>): grpc.ClientUnaryCall;
  listNetworkPorts(argument: _google_protobuf_Empty, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_ListNetworkPortsResponse__Output>): grpc.ClientUnaryCall;
  listNetworkPorts(argument: _google_protobuf_Empty, callback: grpc.requestCallback<_limiquantix_node_v1_ListNetworkPortsResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * Snapshots of a VM, oldest first.
   */
  ListSnapshots(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_ListSnapshotsResponse__Output>): grpc.ClientUnaryCall;
  ListSnapshots(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_ListSnapshotsResponse__Output>): grpc.ClientUnaryCall;
  ListSnapshots(argument: _limiquantix_node_v1_VMIdRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_ListSnapshotsResponse__Output>): grpc.ClientUnaryCall;
  ListSnapshots(argument: _limiquantix_node_v1_VMIdRequest, callback: grpc.requestCallback<_limiquantix_node_v1_ListSnapshotsResponse__Output>): grpc.ClientUnaryCall;
  /**
   * Snapshots of a VM, oldest first.
   */
  listSnapshots(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_ListSnapshotsResponse__Output>): grpc.ClientUnaryCall;
  listSnapshots(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_ListSnapshotsResponse__Output>): grpc.ClientUnaryCall;
  listSnapshots(argument: _limiquantix_node_v1_VMIdRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_ListSnapshotsResponse__Output>): grpc.ClientUnaryCall;
  listSnapshots(argument: _limiquantix_node_v1_VMIdRequest, callback: grpc.requestCallback<_limiquantix_node_v1_ListSnapshotsResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * One directory of a file pool: directories first, then by name without regard to case. A pool that does not answer
   * is an error, never an empty list. RESOURCE_EXHAUSTED when the answer would pass 4 MiB.
   */
  ListStoragePoolFiles(argument: _limiquantix_node_v1_ListStoragePoolFilesRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_ListStoragePoolFilesResponse__Output>): grpc.ClientUnaryCall;
  ListStoragePoolFiles(argument: _limiquantix_node_v1_ListStoragePoolFilesRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_ListStoragePoolFilesResponse__Output>): grpc.ClientUnaryCall;
  ListStoragePoolFiles(argument: _limiquantix_node_v1_ListStoragePoolFilesRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_ListStoragePoolFilesResponse__Output>): grpc.ClientUnaryCall;
  ListStoragePoolFiles(argument: _limiquantix_node_v1_ListStoragePoolFilesRequest, callback: grpc.requestCallback<_limiquantix_node_v1_ListStoragePoolFilesResponse__Output>): grpc.ClientUnaryCall;
  /**
   * One directory of a file pool: directories first, then by name without regard to case. A pool that does not answer
   * is an error, never an empty list. RESOURCE_EXHAUSTED when the answer would pass 4 MiB.
   */
  listStoragePoolFiles(argument: _limiquantix_node_v1_ListStoragePoolFilesRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_ListStoragePoolFilesResponse__Output>): grpc.ClientUnaryCall;
  listStoragePoolFiles(argument: _limiquantix_node_v1_ListStoragePoolFilesRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_ListStoragePoolFilesResponse__Output>): grpc.ClientUnaryCall;
  listStoragePoolFiles(argument: _limiquantix_node_v1_ListStoragePoolFilesRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_ListStoragePoolFilesResponse__Output>): grpc.ClientUnaryCall;
  listStoragePoolFiles(argument: _limiquantix_node_v1_ListStoragePoolFilesRequest, callback: grpc.requestCallback<_limiquantix_node_v1_ListStoragePoolFilesResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * Every pool of this host.
   */
  ListStoragePools(argument: _google_protobuf_Empty, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_ListStoragePoolsResponse__Output>): grpc.ClientUnaryCall;
  ListStoragePools(argument: _google_protobuf_Empty, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_ListStoragePoolsResponse__Output>): grpc.ClientUnaryCall;
  ListStoragePools(argument: _google_protobuf_Empty, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_ListStoragePoolsResponse__Output>): grpc.ClientUnaryCall;
  ListStoragePools(argument: _google_protobuf_Empty, callback: grpc.requestCallback<_limiquantix_node_v1_ListStoragePoolsResponse__Output>): grpc.ClientUnaryCall;
  /**
   * Every pool of this host.
   */
  listStoragePools(argument: _google_protobuf_Empty, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_ListStoragePoolsResponse__Output>): grpc.ClientUnaryCall;
  listStoragePools(argument: _google_protobuf_Empty, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_ListStoragePoolsResponse__Output>): grpc.ClientUnaryCall;
  listStoragePools(argument: _google_protobuf_Empty, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_ListStoragePoolsResponse__Output>): grpc.ClientUnaryCall;
  listStoragePools(argument: _google_protobuf_Empty, callback: grpc.requestCallback<_limiquantix_node_v1_ListStoragePoolsResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * State of every domain of the host.
   */
  ListVMs(argument: _google_protobuf_Empty, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_ListVMsOnNodeResponse__Output>): grpc.ClientUnaryCall;
  ListVMs(argument: _google_protobuf_Empty, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_ListVMsOnNodeResponse__Output>): grpc.ClientUnaryCall;
  ListVMs(argument: _google_protobuf_Empty, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_ListVMsOnNodeResponse__Output>): grpc.ClientUnaryCall;
  ListVMs(argument: _google_protobuf_Empty, callback: grpc.requestCallback<_limiquantix_node_v1_ListVMsOnNodeResponse__Output>): grpc.ClientUnaryCall;
  /**
   * State of every domain of the host.
   */
  listVMs(argument: _google_protobuf_Empty, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_ListVMsOnNodeResponse__Output>): grpc.ClientUnaryCall;
  listVMs(argument: _google_protobuf_Empty, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_ListVMsOnNodeResponse__Output>): grpc.ClientUnaryCall;
  listVMs(argument: _google_protobuf_Empty, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_ListVMsOnNodeResponse__Output>): grpc.ClientUnaryCall;
  listVMs(argument: _google_protobuf_Empty, callback: grpc.requestCallback<_limiquantix_node_v1_ListVMsOnNodeResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * Moves a VM to another host. Not built in this version: UNIMPLEMENTED.
   */
  MigrateVM(argument: _limiquantix_node_v1_MigrateVMRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_limiquantix_node_v1_MigrationProgress__Output>;
  MigrateVM(argument: _limiquantix_node_v1_MigrateVMRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_limiquantix_node_v1_MigrationProgress__Output>;
  /**
   * Moves a VM to another host. Not built in this version: UNIMPLEMENTED.
   */
  migrateVm(argument: _limiquantix_node_v1_MigrateVMRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_limiquantix_node_v1_MigrationProgress__Output>;
  migrateVm(argument: _limiquantix_node_v1_MigrateVMRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_limiquantix_node_v1_MigrationProgress__Output>;
  
  /**
   * Suspends the vCPUs.
   */
  PauseVM(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  PauseVM(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  PauseVM(argument: _limiquantix_node_v1_VMIdRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  PauseVM(argument: _limiquantix_node_v1_VMIdRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  /**
   * Suspends the vCPUs.
   */
  pauseVm(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  pauseVm(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  pauseVm(argument: _limiquantix_node_v1_VMIdRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  pauseVm(argument: _limiquantix_node_v1_VMIdRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  
  /**
   * Makes this host ready to receive a VM. Not built in this version: UNIMPLEMENTED.
   */
  PrepareMigration(argument: _limiquantix_node_v1_PrepareMigrationRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_MigrationToken__Output>): grpc.ClientUnaryCall;
  PrepareMigration(argument: _limiquantix_node_v1_PrepareMigrationRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_MigrationToken__Output>): grpc.ClientUnaryCall;
  PrepareMigration(argument: _limiquantix_node_v1_PrepareMigrationRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_MigrationToken__Output>): grpc.ClientUnaryCall;
  PrepareMigration(argument: _limiquantix_node_v1_PrepareMigrationRequest, callback: grpc.requestCallback<_limiquantix_node_v1_MigrationToken__Output>): grpc.ClientUnaryCall;
  /**
   * Makes this host ready to receive a VM. Not built in this version: UNIMPLEMENTED.
   */
  prepareMigration(argument: _limiquantix_node_v1_PrepareMigrationRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_MigrationToken__Output>): grpc.ClientUnaryCall;
  prepareMigration(argument: _limiquantix_node_v1_PrepareMigrationRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_limiquantix_node_v1_MigrationToken__Output>): grpc.ClientUnaryCall;
  prepareMigration(argument: _limiquantix_node_v1_PrepareMigrationRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_limiquantix_node_v1_MigrationToken__Output>): grpc.ClientUnaryCall;
  prepareMigration(argument: _limiquantix_node_v1_PrepareMigrationRequest, callback: grpc.requestCallback<_limiquantix_node_v1_MigrationToken__Output>): grpc.ClientUnaryCall;
  
  /**
   * Asks the guest to reboot.
   */
  RebootVM(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  RebootVM(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  RebootVM(argument: _limiquantix_node_v1_VMIdRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  RebootVM(argument: _limiquantix_node_v1_VMIdRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  /**
   * Asks the guest to reboot.
   */
  rebootVm(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  rebootVm(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  rebootVm(argument: _limiquantix_node_v1_VMIdRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  rebootVm(argument: _limiquantix_node_v1_VMIdRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  
  /**
   * Receives a VM. Not built in this version: UNIMPLEMENTED.
   */
  ReceiveMigration(argument: _limiquantix_node_v1_MigrationToken, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  ReceiveMigration(argument: _limiquantix_node_v1_MigrationToken, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  ReceiveMigration(argument: _limiquantix_node_v1_MigrationToken, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  ReceiveMigration(argument: _limiquantix_node_v1_MigrationToken, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  /**
   * Receives a VM. Not built in this version: UNIMPLEMENTED.
   */
  receiveMigration(argument: _limiquantix_node_v1_MigrationToken, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  receiveMigration(argument: _limiquantix_node_v1_MigrationToken, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  receiveMigration(argument: _limiquantix_node_v1_MigrationToken, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  receiveMigration(argument: _limiquantix_node_v1_MigrationToken, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  
  /**
   * Grows a volume. Not built in this version: UNIMPLEMENTED.
   */
  ResizeVolume(argument: _limiquantix_node_v1_ResizeVolumeRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  ResizeVolume(argument: _limiquantix_node_v1_ResizeVolumeRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  ResizeVolume(argument: _limiquantix_node_v1_ResizeVolumeRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  ResizeVolume(argument: _limiquantix_node_v1_ResizeVolumeRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  /**
   * Grows a volume. Not built in this version: UNIMPLEMENTED.
   */
  resizeVolume(argument: _limiquantix_node_v1_ResizeVolumeRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  resizeVolume(argument: _limiquantix_node_v1_ResizeVolumeRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  resizeVolume(argument: _limiquantix_node_v1_ResizeVolumeRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  resizeVolume(argument: _limiquantix_node_v1_ResizeVolumeRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  
  /**
   * Lets a paused VM go on.
   */
  ResumeVM(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  ResumeVM(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  ResumeVM(argument: _limiquantix_node_v1_VMIdRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  ResumeVM(argument: _limiquantix_node_v1_VMIdRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  /**
   * Lets a paused VM go on.
   */
  resumeVm(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  resumeVm(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  resumeVm(argument: _limiquantix_node_v1_VMIdRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  resumeVm(argument: _limiquantix_node_v1_VMIdRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  
  /**
   * Brings a VM back to a snapshot. It runs afterwards if it ran when the snapshot was taken.
   */
  RevertSnapshot(argument: _limiquantix_node_v1_RevertSnapshotRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  RevertSnapshot(argument: _limiquantix_node_v1_RevertSnapshotRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  RevertSnapshot(argument: _limiquantix_node_v1_RevertSnapshotRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  RevertSnapshot(argument: _limiquantix_node_v1_RevertSnapshotRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  /**
   * Brings a VM back to a snapshot. It runs afterwards if it ran when the snapshot was taken.
   */
  revertSnapshot(argument: _limiquantix_node_v1_RevertSnapshotRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  revertSnapshot(argument: _limiquantix_node_v1_RevertSnapshotRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  revertSnapshot(argument: _limiquantix_node_v1_RevertSnapshotRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  revertSnapshot(argument: _limiquantix_node_v1_RevertSnapshotRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  
  /**
   * Starts a VM; success when it is running.
   */
  StartVM(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  StartVM(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  StartVM(argument: _limiquantix_node_v1_VMIdRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  StartVM(argument: _limiquantix_node_v1_VMIdRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  /**
   * Starts a VM; success when it is running.
   */
  startVm(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  startVm(argument: _limiquantix_node_v1_VMIdRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  startVm(argument: _limiquantix_node_v1_VMIdRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  startVm(argument: _limiquantix_node_v1_VMIdRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  
  /**
   * Asks the guest to shut down (ACPI) and waits. DEADLINE_EXCEEDED leaves it running; success when it is off.
   */
  StopVM(argument: _limiquantix_node_v1_StopVMRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  StopVM(argument: _limiquantix_node_v1_StopVMRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  StopVM(argument: _limiquantix_node_v1_StopVMRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  StopVM(argument: _limiquantix_node_v1_StopVMRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  /**
   * Asks the guest to shut down (ACPI) and waits. DEADLINE_EXCEEDED leaves it running; success when it is off.
   */
  stopVm(argument: _limiquantix_node_v1_StopVMRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  stopVm(argument: _limiquantix_node_v1_StopVMRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  stopVm(argument: _limiquantix_node_v1_StopVMRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  stopVm(argument: _limiquantix_node_v1_StopVMRequest, callback: grpc.requestCallback<_google_protobuf_Empty__Output>): grpc.ClientUnaryCall;
  
  /**
   * Life-cycle events of VMs from now on, until the caller ends the stream or the agent stops.
   */
  StreamEvents(argument: _google_protobuf_Empty, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_limiquantix_node_v1_NodeEvent__Output>;
  StreamEvents(argument: _google_protobuf_Empty, options?: grpc.CallOptions): grpc.ClientReadableStream<_limiquantix_node_v1_NodeEvent__Output>;
  /**
   * Life-cycle events of VMs from now on, until the caller ends the stream or the agent stops.
   */
  streamEvents(argument: _google_protobuf_Empty, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_limiquantix_node_v1_NodeEvent__Output>;
  streamEvents(argument: _google_protobuf_Empty, options?: grpc.CallOptions): grpc.ClientReadableStream<_limiquantix_node_v1_NodeEvent__Output>;
  
  /**
   * Metrics of host and VMs, at once and then at an interval.
   */
  StreamMetrics(argument: _limiquantix_node_v1_StreamMetricsRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_limiquantix_node_v1_NodeMetrics__Output>;
  StreamMetrics(argument: _limiquantix_node_v1_StreamMetricsRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_limiquantix_node_v1_NodeMetrics__Output>;
  /**
   * Metrics of host and VMs, at once and then at an interval.
   */
  streamMetrics(argument: _limiquantix_node_v1_StreamMetricsRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_limiquantix_node_v1_NodeMetrics__Output>;
  streamMetrics(argument: _limiquantix_node_v1_StreamMetricsRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_limiquantix_node_v1_NodeMetrics__Output>;
  
}

/**
 * Everything a control plane asks of one hypervisor host.
 */
export interface NodeDaemonServiceHandlers extends grpc.UntypedServiceImplementation {
  /**
   * Adds a disk to a VM, in the running guest and for the next start alike. One without path and pool is made next to the VM's first disk.
   */
  AttachDisk: grpc.handleUnaryCall<_limiquantix_node_v1_AttachDiskRequest__Output, _google_protobuf_Empty>;
  
  /**
   * Adds a network interface to a VM, in the running guest and for the next start alike.
   */
  AttachNIC: grpc.handleUnaryCall<_limiquantix_node_v1_AttachNICRequest__Output, _google_protobuf_Empty>;
  
  /**
   * Cancels a running download job and removes what it had written.
   */
  CancelDownload: grpc.handleUnaryCall<_limiquantix_node_v1_CancelDownloadRequest__Output, _google_protobuf_Empty>;
  
  /**
   * Inserts or ejects a CD-ROM image, in the running guest and for the next start alike.
   */
  ChangeMedia: grpc.handleUnaryCall<_limiquantix_node_v1_ChangeMediaRequest__Output, _google_protobuf_Empty>;
  
  /**
   * Copies a volume. Not built in this version: UNIMPLEMENTED.
   */
  CloneVolume: grpc.handleUnaryCall<_limiquantix_node_v1_CloneVolumeRequest__Output, _google_protobuf_Empty>;
  
  /**
   * Makes a virtual network port. Not built in this version: UNIMPLEMENTED.
   */
  ConfigureNetworkPort: grpc.handleUnaryCall<_limiquantix_node_v1_ConfigureNetworkPortRequest__Output, _limiquantix_node_v1_NetworkPortInfo>;
  
  /**
   * Takes a snapshot of a VM inside its qcow2 disks, of a running one with its memory. The same again is the same snapshot.
   */
  CreateSnapshot: grpc.handleUnaryCall<_limiquantix_node_v1_CreateSnapshotRequest__Output, _limiquantix_node_v1_SnapshotResponse>;
  
  /**
   * Makes the disks, the cloud-init seed and the libvirt domain; the VM is off afterwards. Either all of it is there
   * or nothing. The same request again is the same VM with created = false. A caller that hangs up does not stop the
   * work.
   */
  CreateVM: grpc.handleUnaryCall<_limiquantix_node_v1_CreateVMOnNodeRequest__Output, _limiquantix_node_v1_CreateVMOnNodeResponse>;
  
  /**
   * Makes a volume in a pool. Not built in this version: UNIMPLEMENTED.
   */
  CreateVolume: grpc.handleUnaryCall<_limiquantix_node_v1_CreateVolumeRequest__Output, _google_protobuf_Empty>;
  
  /**
   * Takes a snapshot of a volume. Not built in this version: UNIMPLEMENTED.
   */
  CreateVolumeSnapshot: grpc.handleUnaryCall<_limiquantix_node_v1_CreateVolumeSnapshotRequest__Output, _google_protobuf_Empty>;
  
  /**
   * Removes a port. Not built in this version: UNIMPLEMENTED.
   */
  DeleteNetworkPort: grpc.handleUnaryCall<_limiquantix_node_v1_DeleteNetworkPortRequest__Output, _google_protobuf_Empty>;
  
  /**
   * Removes a snapshot; later ones stay. Success when it is gone.
   */
  DeleteSnapshot: grpc.handleUnaryCall<_limiquantix_node_v1_DeleteSnapshotRequest__Output, _google_protobuf_Empty>;
  
  /**
   * Powers the VM off if needed, removes its domain and the volumes that were made for it. Success when it is gone.
   */
  DeleteVM: grpc.handleUnaryCall<_limiquantix_node_v1_VMIdRequest__Output, _google_protobuf_Empty>;
  
  /**
   * Removes a volume. Not built in this version: UNIMPLEMENTED.
   */
  DeleteVolume: grpc.handleUnaryCall<_limiquantix_node_v1_VolumeIdRequest__Output, _google_protobuf_Empty>;
  
  /**
   * Forgets a pool and detaches its storage. Never deletes data; FAILED_PRECONDITION naming the users while it is in
   * use.
   */
  DestroyStoragePool: grpc.handleUnaryCall<_limiquantix_node_v1_StoragePoolIdRequest__Output, _google_protobuf_Empty>;
  
  /**
   * Takes a disk out of a VM and waits until a running guest has let it go (DEADLINE_EXCEEDED: it keeps it). Its data stay.
   */
  DetachDisk: grpc.handleUnaryCall<_limiquantix_node_v1_DetachDiskRequest__Output, _google_protobuf_Empty>;
  
  /**
   * Takes a network interface out of a VM and waits until a running guest has let it go (DEADLINE_EXCEEDED: it keeps it).
   */
  DetachNIC: grpc.handleUnaryCall<_limiquantix_node_v1_DetachNICRequest__Output, _google_protobuf_Empty>;
  
  /**
   * Begins an image download (or joins the one with the same job_id) and streams its progress until it is final.
   * Ending the stream does not cancel the job.
   */
  DownloadImage: grpc.handleServerStreamingCall<_limiquantix_node_v1_DownloadImageOnNodeRequest__Output, _limiquantix_node_v1_DownloadProgress>;
  
  /**
   * Cuts the power; success when it is off.
   */
  ForceStopVM: grpc.handleUnaryCall<_limiquantix_node_v1_VMIdRequest__Output, _google_protobuf_Empty>;
  
  /**
   * Where the graphical console of a VM listens. Not built in this version: UNIMPLEMENTED.
   */
  GetConsole: grpc.handleUnaryCall<_limiquantix_node_v1_VMIdRequest__Output, _limiquantix_node_v1_ConsoleInfoResponse>;
  
  /**
   * The present progress of a download job. NOT_FOUND for an unknown job.
   */
  GetDownloadStatus: grpc.handleUnaryCall<_limiquantix_node_v1_GetDownloadStatusRequest__Output, _limiquantix_node_v1_DownloadProgress>;
  
  /**
   * State of a port. Not built in this version: UNIMPLEMENTED.
   */
  GetNetworkPortStatus: grpc.handleUnaryCall<_limiquantix_node_v1_GetNetworkPortStatusRequest__Output, _limiquantix_node_v1_NetworkPortInfo>;
  
  /**
   * Inventory of the host and abilities of its hypervisor.
   */
  GetNodeInfo: grpc.handleUnaryCall<_google_protobuf_Empty__Output, _limiquantix_node_v1_NodeInfoResponse>;
  
  /**
   * State of Open vSwitch and OVN. Not built in this version: UNIMPLEMENTED.
   */
  GetOVSStatus: grpc.handleUnaryCall<_google_protobuf_Empty__Output, _limiquantix_node_v1_OVSStatusResponse>;
  
  /**
   * One pool with the capacity and health of its last probe.
   */
  GetStoragePoolInfo: grpc.handleUnaryCall<_limiquantix_node_v1_StoragePoolIdRequest__Output, _limiquantix_node_v1_StoragePoolInfoResponse>;
  
  /**
   * State of one VM. NOT_FOUND "VM not found: ..." only when libvirt itself says that there is no such domain.
   */
  GetVMStatus: grpc.handleUnaryCall<_limiquantix_node_v1_VMIdRequest__Output, _limiquantix_node_v1_VMStatusResponse>;
  
  /**
   * How a domain reaches a volume. Not built in this version: UNIMPLEMENTED.
   */
  GetVolumeAttachInfo: grpc.handleUnaryCall<_limiquantix_node_v1_VolumeIdRequest__Output, _limiquantix_node_v1_VolumeAttachInfoResponse>;
  
  /**
   * Liveness and versions. Answered from memory: it never waits for libvirt, a pool or a running call.
   */
  HealthCheck: grpc.handleUnaryCall<_limiquantix_node_v1_HealthCheckRequest__Output, _limiquantix_node_v1_HealthCheckResponse>;
  
  /**
   * Makes a pool usable on this host and remembers it across restarts. The same again is success.
   */
  InitStoragePool: grpc.handleUnaryCall<_limiquantix_node_v1_InitStoragePoolRequest__Output, _limiquantix_node_v1_StoragePoolInfoResponse>;
  
  /**
   * Lists every download job that the agent remembers, running ones first.
   */
  ListDownloads: grpc.handleUnaryCall<_google_protobuf_Empty__Output, _limiquantix_node_v1_ListDownloadsResponse>;
  
  /**
   * Every port of this host. Not built in this version: UNIMPLEMENTED.
   */
  ListNetworkPorts: grpc.handleUnaryCall<_google_protobuf_Empty__Output, _limiquantix_node_v1_ListNetworkPortsResponse>;
  
  /**
   * Snapshots of a VM, oldest first.
   */
  ListSnapshots: grpc.handleUnaryCall<_limiquantix_node_v1_VMIdRequest__Output, _limiquantix_node_v1_ListSnapshotsResponse>;
  
  /**
   * One directory of a file pool: directories first, then by name without regard to case. A pool that does not answer
   * is an error, never an empty list. RESOURCE_EXHAUSTED when the answer would pass 4 MiB.
   */
  ListStoragePoolFiles: grpc.handleUnaryCall<_limiquantix_node_v1_ListStoragePoolFilesRequest__Output, _limiquantix_node_v1_ListStoragePoolFilesResponse>;
  
  /**
   * Every pool of this host.
   */
  ListStoragePools: grpc.handleUnaryCall<_google_protobuf_Empty__Output, _limiquantix_node_v1_ListStoragePoolsResponse>;
  
  /**
   * State of every domain of the host.
   */
  ListVMs: grpc.handleUnaryCall<_google_protobuf_Empty__Output, _limiquantix_node_v1_ListVMsOnNodeResponse>;
  
  /**
   * Moves a VM to another host. Not built in this version: UNIMPLEMENTED.
   */
  MigrateVM: grpc.handleServerStreamingCall<_limiquantix_node_v1_MigrateVMRequest__Output, _limiquantix_node_v1_MigrationProgress>;
  
  /**
   * Suspends the vCPUs.
   */
  PauseVM: grpc.handleUnaryCall<_limiquantix_node_v1_VMIdRequest__Output, _google_protobuf_Empty>;
  
  /**
   * Makes this host ready to receive a VM. Not built in this version: UNIMPLEMENTED.
   */
  PrepareMigration: grpc.handleUnaryCall<_limiquantix_node_v1_PrepareMigrationRequest__Output, _limiquantix_node_v1_MigrationToken>;
  
  /**
   * Asks the guest to reboot.
   */
  RebootVM: grpc.handleUnaryCall<_limiquantix_node_v1_VMIdRequest__Output, _google_protobuf_Empty>;
  
  /**
   * Receives a VM. Not built in this version: UNIMPLEMENTED.
   */
  ReceiveMigration: grpc.handleUnaryCall<_limiquantix_node_v1_MigrationToken__Output, _google_protobuf_Empty>;
  
  /**
   * Grows a volume. Not built in this version: UNIMPLEMENTED.
   */
  ResizeVolume: grpc.handleUnaryCall<_limiquantix_node_v1_ResizeVolumeRequest__Output, _google_protobuf_Empty>;
  
  /**
   * Lets a paused VM go on.
   */
  ResumeVM: grpc.handleUnaryCall<_limiquantix_node_v1_VMIdRequest__Output, _google_protobuf_Empty>;
  
  /**
   * Brings a VM back to a snapshot. It runs afterwards if it ran when the snapshot was taken.
   */
  RevertSnapshot: grpc.handleUnaryCall<_limiquantix_node_v1_RevertSnapshotRequest__Output, _google_protobuf_Empty>;
  
  /**
   * Starts a VM; success when it is running.
   */
  StartVM: grpc.handleUnaryCall<_limiquantix_node_v1_VMIdRequest__Output, _google_protobuf_Empty>;
  
  /**
   * Asks the guest to shut down (ACPI) and waits. DEADLINE_EXCEEDED leaves it running; success when it is off.
   */
  StopVM: grpc.handleUnaryCall<_limiquantix_node_v1_StopVMRequest__Output, _google_protobuf_Empty>;
  
  /**
   * Life-cycle events of VMs from now on, until the caller ends the stream or the agent stops.
   */
  StreamEvents: grpc.handleServerStreamingCall<_google_protobuf_Empty__Output, _limiquantix_node_v1_NodeEvent>;
  
  /**
   * Metrics of host and VMs, at once and then at an interval.
   */
  StreamMetrics: grpc.handleServerStreamingCall<_limiquantix_node_v1_StreamMetricsRequest__Output, _limiquantix_node_v1_NodeMetrics>;
  
}

export interface NodeDaemonServiceDefinition extends grpc.ServiceDefinition {
  AttachDisk: MethodDefinition<_limiquantix_node_v1_AttachDiskRequest, _google_protobuf_Empty, _limiquantix_node_v1_AttachDiskRequest__Output, _google_protobuf_Empty__Output>
  AttachNIC: MethodDefinition<_limiquantix_node_v1_AttachNICRequest, _google_protobuf_Empty, _limiquantix_node_v1_AttachNICRequest__Output, _google_protobuf_Empty__Output>
  CancelDownload: MethodDefinition<_limiquantix_node_v1_CancelDownloadRequest, _google_protobuf_Empty, _limiquantix_node_v1_CancelDownloadRequest__Output, _google_protobuf_Empty__Output>
  ChangeMedia: MethodDefinition<_limiquantix_node_v1_ChangeMediaRequest, _google_protobuf_Empty, _limiquantix_node_v1_ChangeMediaRequest__Output, _google_protobuf_Empty__Output>
  CloneVolume: MethodDefinition<_limiquantix_node_v1_CloneVolumeRequest, _google_protobuf_Empty, _limiquantix_node_v1_CloneVolumeRequest__Output, _google_protobuf_Empty__Output>
  ConfigureNetworkPort: MethodDefinition<_limiquantix_node_v1_ConfigureNetworkPortRequest, _limiquantix_node_v1_NetworkPortInfo, _limiquantix_node_v1_ConfigureNetworkPortRequest__Output, _limiquantix_node_v1_NetworkPortInfo__Output>
  CreateSnapshot: MethodDefinition<_limiquantix_node_v1_CreateSnapshotRequest, _limiquantix_node_v1_SnapshotResponse, _limiquantix_node_v1_CreateSnapshotRequest__Output, _limiquantix_node_v1_SnapshotResponse__Output>
  CreateVM: MethodDefinition<_limiquantix_node_v1_CreateVMOnNodeRequest, _limiquantix_node_v1_CreateVMOnNodeResponse, _limiquantix_node_v1_CreateVMOnNodeRequest__Output, _limiquantix_node_v1_CreateVMOnNodeResponse__Output>
  CreateVolume: MethodDefinition<_limiquantix_node_v1_CreateVolumeRequest, _google_protobuf_Empty, _limiquantix_node_v1_CreateVolumeRequest__Output, _google_protobuf_Empty__Output>
  CreateVolumeSnapshot: MethodDefinition<_limiquantix_node_v1_CreateVolumeSnapshotRequest, _google_protobuf_Empty, _limiquantix_node_v1_CreateVolumeSnapshotRequest__Output, _google_protobuf_Empty__Output>
  DeleteNetworkPort: MethodDefinition<_limiquantix_node_v1_DeleteNetworkPortRequest, _google_protobuf_Empty, _limiquantix_node_v1_DeleteNetworkPortRequest__Output, _google_protobuf_Empty__Output>
  DeleteSnapshot: MethodDefinition<_limiquantix_node_v1_DeleteSnapshotRequest, _google_protobuf_Empty, _limiquantix_node_v1_DeleteSnapshotRequest__Output, _google_protobuf_Empty__Output>
  DeleteVM: MethodDefinition<_limiquantix_node_v1_VMIdRequest, _google_protobuf_Empty, _limiquantix_node_v1_VMIdRequest__Output, _google_protobuf_Empty__Output>
  DeleteVolume: MethodDefinition<_limiquantix_node_v1_VolumeIdRequest, _google_protobuf_Empty, _limiquantix_node_v1_VolumeIdRequest__Output, _google_protobuf_Empty__Output>
  DestroyStoragePool: MethodDefinition<_limiquantix_node_v1_StoragePoolIdRequest, _google_protobuf_Empty, _limiquantix_node_v1_StoragePoolIdRequest__Output, _google_protobuf_Empty__Output>
  DetachDisk: MethodDefinition<_limiquantix_node_v1_DetachDiskRequest, _google_protobuf_Empty, _limiquantix_node_v1_DetachDiskRequest__Output, _google_protobuf_Empty__Output>
  DetachNIC: MethodDefinition<_limiquantix_node_v1_DetachNICRequest, _google_protobuf_Empty, _limiquantix_node_v1_DetachNICRequest__Output, _google_protobuf_Empty__Output>
  DownloadImage: MethodDefinition<_limiquantix_node_v1_DownloadImageOnNodeRequest, _limiquantix_node_v1_DownloadProgress, _limiquantix_node_v1_DownloadImageOnNodeRequest__Output, _limiquantix_node_v1_DownloadProgress__Output>
  ForceStopVM: MethodDefinition<_limiquantix_node_v1_VMIdRequest, _google_protobuf_Empty, _limiquantix_node_v1_VMIdRequest__Output, _google_protobuf_Empty__Output>
  GetConsole: MethodDefinition<_limiquantix_node_v1_VMIdRequest, _limiquantix_node_v1_ConsoleInfoResponse, _limiquantix_node_v1_VMIdRequest__Output, _limiquantix_node_v1_ConsoleInfoResponse__Output>
  GetDownloadStatus: MethodDefinition<_limiquantix_node_v1_GetDownloadStatusRequest, _limiquantix_node_v1_DownloadProgress, _limiquantix_node_v1_GetDownloadStatusRequest__Output, _limiquantix_node_v1_DownloadProgress__Output>
  GetNetworkPortStatus: MethodDefinition<_limiquantix_node_v1_GetNetworkPortStatusRequest, _limiquantix_node_v1_NetworkPortInfo, _limiquantix_node_v1_GetNetworkPortStatusRequest__Output, _limiquantix_node_v1_NetworkPortInfo__Output>
  GetNodeInfo: MethodDefinition<_google_protobuf_Empty, _limiquantix_node_v1_NodeInfoResponse, _google_protobuf_Empty__Output, _limiquantix_node_v1_NodeInfoResponse__Output>
  GetOVSStatus: MethodDefinition<_google_protobuf_Empty, _limiquantix_node_v1_OVSStatusResponse, _google_protobuf_Empty__Output, _limiquantix_node_v1_OVSStatusResponse__Output>
  GetStoragePoolInfo: MethodDefinition<_limiquantix_node_v1_StoragePoolIdRequest, _limiquantix_node_v1_StoragePoolInfoResponse, _limiquantix_node_v1_StoragePoolIdRequest__Output, _limiquantix_node_v1_StoragePoolInfoResponse__Output>
  GetVMStatus: MethodDefinition<_limiquantix_node_v1_VMIdRequest, _limiquantix_node_v1_VMStatusResponse, _limiquantix_node_v1_VMIdRequest__Output, _limiquantix_node_v1_VMStatusResponse__Output>
  GetVolumeAttachInfo: MethodDefinition<_limiquantix_node_v1_VolumeIdRequest, _limiquantix_node_v1_VolumeAttachInfoResponse, _limiquantix_node_v1_VolumeIdRequest__Output, _limiquantix_node_v1_VolumeAttachInfoResponse__Output>
  HealthCheck: MethodDefinition<_limiquantix_node_v1_HealthCheckRequest, _limiquantix_node_v1_HealthCheckResponse, _limiquantix_node_v1_HealthCheckRequest__Output, _limiquantix_node_v1_HealthCheckResponse__Output>
  InitStoragePool: MethodDefinition<_limiquantix_node_v1_InitStoragePoolRequest, _limiquantix_node_v1_StoragePoolInfoResponse, _limiquantix_node_v1_InitStoragePoolRequest__Output, _limiquantix_node_v1_StoragePoolInfoResponse__Output>
  ListDownloads: MethodDefinition<_google_protobuf_Empty, _limiquantix_node_v1_ListDownloadsResponse, _google_protobuf_Empty__Output, _limiquantix_node_v1_ListDownloadsResponse__Output>
  ListNetworkPorts: MethodDefinition<_google_protobuf_Empty, _limiquantix_node_v1_ListNetworkPortsResponse, _google_protobuf_Empty__Output, _limiquantix_node_v1_ListNetworkPortsResponse__Output>
  ListSnapshots: MethodDefinition<_limiquantix_node_v1_VMIdRequest, _limiquantix_node_v1_ListSnapshotsResponse, _limiquantix_node_v1_VMIdRequest__Output, _limiquantix_node_v1_ListSnapshotsResponse__Output>
  ListStoragePoolFiles: MethodDefinition<_limiquantix_node_v1_ListStoragePoolFilesRequest, _limiquantix_node_v1_ListStoragePoolFilesResponse, _limiquantix_node_v1_ListStoragePoolFilesRequest__Output, _limiquantix_node_v1_ListStoragePoolFilesResponse__Output>
  ListStoragePools: MethodDefinition<_google_protobuf_Empty, _limiquantix_node_v1_ListStoragePoolsResponse, _google_protobuf_Empty__Output, _limiquantix_node_v1_ListStoragePoolsResponse__Output>
  ListVMs: MethodDefinition<_google_protobuf_Empty, _limiquantix_node_v1_ListVMsOnNodeResponse, _google_protobuf_Empty__Output, _limiquantix_node_v1_ListVMsOnNodeResponse__Output>
  MigrateVM: MethodDefinition<_limiquantix_node_v1_MigrateVMRequest, _limiquantix_node_v1_MigrationProgress, _limiquantix_node_v1_MigrateVMRequest__Output, _limiquantix_node_v1_MigrationProgress__Output>
  PauseVM: MethodDefinition<_limiquantix_node_v1_VMIdRequest, _google_protobuf_Empty, _limiquantix_node_v1_VMIdRequest__Output, _google_protobuf_Empty__Output>
  PrepareMigration: MethodDefinition<_limiquantix_node_v1_PrepareMigrationRequest, _limiquantix_node_v1_MigrationToken, _limiquantix_node_v1_PrepareMigrationRequest__Output, _limiquantix_node_v1_MigrationToken__Output>
  RebootVM: MethodDefinition<_limiquantix_node_v1_VMIdRequest, _google_protobuf_Empty, _limiquantix_node_v1_VMIdRequest__Output, _google_protobuf_Empty__Output>
  ReceiveMigration: MethodDefinition<_limiquantix_node_v1_MigrationToken, _google_protobuf_Empty, _limiquantix_node_v1_MigrationToken__Output, _google_protobuf_Empty__Output>
  ResizeVolume: MethodDefinition<_limiquantix_node_v1_ResizeVolumeRequest, _google_protobuf_Empty, _limiquantix_node_v1_ResizeVolumeRequest__Output, _google_protobuf_Empty__Output>
  ResumeVM: MethodDefinition<_limiquantix_node_v1_VMIdRequest, _google_protobuf_Empty, _limiquantix_node_v1_VMIdRequest__Output, _google_protobuf_Empty__Output>
  RevertSnapshot: MethodDefinition<_limiquantix_node_v1_RevertSnapshotRequest, _google_protobuf_Empty, _limiquantix_node_v1_RevertSnapshotRequest__Output, _google_protobuf_Empty__Output>
  StartVM: MethodDefinition<_limiquantix_node_v1_VMIdRequest, _google_protobuf_Empty, _limiquantix_node_v1_VMIdRequest__Output, _google_protobuf_Empty__Output>
  StopVM: MethodDefinition<_limiquantix_node_v1_StopVMRequest, _google_protobuf_Empty, _limiquantix_node_v1_StopVMRequest__Output, _google_protobuf_Empty__Output>
  StreamEvents: MethodDefinition<_google_protobuf_Empty, _limiquantix_node_v1_NodeEvent, _google_protobuf_Empty__Output, _limiquantix_node_v1_NodeEvent__Output>
  StreamMetrics: MethodDefinition<_limiquantix_node_v1_StreamMetricsRequest, _limiquantix_node_v1_NodeMetrics, _limiquantix_node_v1_StreamMetricsRequest__Output, _limiquantix_node_v1_NodeMetrics__Output>
}
