import type * as grpc from '@grpc/grpc-js';
import type { EnumTypeDefinition, MessageTypeDefinition } from '@grpc/proto-loader';

import type { Empty as _google_protobuf_Empty, Empty__Output as _google_protobuf_Empty__Output } from './google/protobuf/Empty.ts';
import type { Timestamp as _google_protobuf_Timestamp, Timestamp__Output as _google_protobuf_Timestamp__Output } from './google/protobuf/Timestamp.ts';
import type { AttachDiskRequest as _limiquantix_node_v1_AttachDiskRequest, AttachDiskRequest__Output as _limiquantix_node_v1_AttachDiskRequest__Output } from './limiquantix/node/v1/AttachDiskRequest.ts';
import type { AttachNICRequest as _limiquantix_node_v1_AttachNICRequest, AttachNICRequest__Output as _limiquantix_node_v1_AttachNICRequest__Output } from './limiquantix/node/v1/AttachNICRequest.ts';
import type { CancelDownloadRequest as _limiquantix_node_v1_CancelDownloadRequest, CancelDownloadRequest__Output as _limiquantix_node_v1_CancelDownloadRequest__Output } from './limiquantix/node/v1/CancelDownloadRequest.ts';
import type { CdromSpec as _limiquantix_node_v1_CdromSpec, CdromSpec__Output as _limiquantix_node_v1_CdromSpec__Output } from './limiquantix/node/v1/CdromSpec.ts';
import type { CephPoolConfig as _limiquantix_node_v1_CephPoolConfig, CephPoolConfig__Output as _limiquantix_node_v1_CephPoolConfig__Output } from './limiquantix/node/v1/CephPoolConfig.ts';
import type { ChangeMediaRequest as _limiquantix_node_v1_ChangeMediaRequest, ChangeMediaRequest__Output as _limiquantix_node_v1_ChangeMediaRequest__Output } from './limiquantix/node/v1/ChangeMediaRequest.ts';
import type { CloneVolumeRequest as _limiquantix_node_v1_CloneVolumeRequest, CloneVolumeRequest__Output as _limiquantix_node_v1_CloneVolumeRequest__Output } from './limiquantix/node/v1/CloneVolumeRequest.ts';
import type { CloudInitConfig as _limiquantix_node_v1_CloudInitConfig, CloudInitConfig__Output as _limiquantix_node_v1_CloudInitConfig__Output } from './limiquantix/node/v1/CloudInitConfig.ts';
import type { ConfigureNetworkPortRequest as _limiquantix_node_v1_ConfigureNetworkPortRequest, ConfigureNetworkPortRequest__Output as _limiquantix_node_v1_ConfigureNetworkPortRequest__Output } from './limiquantix/node/v1/ConfigureNetworkPortRequest.ts';
import type { ConsoleInfoResponse as _limiquantix_node_v1_ConsoleInfoResponse, ConsoleInfoResponse__Output as _limiquantix_node_v1_ConsoleInfoResponse__Output } from './limiquantix/node/v1/ConsoleInfoResponse.ts';
import type { ConsoleSpec as _limiquantix_node_v1_ConsoleSpec, ConsoleSpec__Output as _limiquantix_node_v1_ConsoleSpec__Output } from './limiquantix/node/v1/ConsoleSpec.ts';
import type { CpuInfo as _limiquantix_node_v1_CpuInfo, CpuInfo__Output as _limiquantix_node_v1_CpuInfo__Output } from './limiquantix/node/v1/CpuInfo.ts';
import type { CreateSnapshotRequest as _limiquantix_node_v1_CreateSnapshotRequest, CreateSnapshotRequest__Output as _limiquantix_node_v1_CreateSnapshotRequest__Output } from './limiquantix/node/v1/CreateSnapshotRequest.ts';
import type { CreateVMOnNodeRequest as _limiquantix_node_v1_CreateVMOnNodeRequest, CreateVMOnNodeRequest__Output as _limiquantix_node_v1_CreateVMOnNodeRequest__Output } from './limiquantix/node/v1/CreateVMOnNodeRequest.ts';
import type { CreateVMOnNodeResponse as _limiquantix_node_v1_CreateVMOnNodeResponse, CreateVMOnNodeResponse__Output as _limiquantix_node_v1_CreateVMOnNodeResponse__Output } from './limiquantix/node/v1/CreateVMOnNodeResponse.ts';
import type { CreateVolumeRequest as _limiquantix_node_v1_CreateVolumeRequest, CreateVolumeRequest__Output as _limiquantix_node_v1_CreateVolumeRequest__Output } from './limiquantix/node/v1/CreateVolumeRequest.ts';
import type { CreateVolumeSnapshotRequest as _limiquantix_node_v1_CreateVolumeSnapshotRequest, CreateVolumeSnapshotRequest__Output as _limiquantix_node_v1_CreateVolumeSnapshotRequest__Output } from './limiquantix/node/v1/CreateVolumeSnapshotRequest.ts';
import type { DeleteNetworkPortRequest as _limiquantix_node_v1_DeleteNetworkPortRequest, DeleteNetworkPortRequest__Output as _limiquantix_node_v1_DeleteNetworkPortRequest__Output } from './limiquantix/node/v1/DeleteNetworkPortRequest.ts';
import type { DeleteSnapshotRequest as _limiquantix_node_v1_DeleteSnapshotRequest, DeleteSnapshotRequest__Output as _limiquantix_node_v1_DeleteSnapshotRequest__Output } from './limiquantix/node/v1/DeleteSnapshotRequest.ts';
import type { DetachDiskRequest as _limiquantix_node_v1_DetachDiskRequest, DetachDiskRequest__Output as _limiquantix_node_v1_DetachDiskRequest__Output } from './limiquantix/node/v1/DetachDiskRequest.ts';
import type { DetachNICRequest as _limiquantix_node_v1_DetachNICRequest, DetachNICRequest__Output as _limiquantix_node_v1_DetachNICRequest__Output } from './limiquantix/node/v1/DetachNICRequest.ts';
import type { DiskMetrics as _limiquantix_node_v1_DiskMetrics, DiskMetrics__Output as _limiquantix_node_v1_DiskMetrics__Output } from './limiquantix/node/v1/DiskMetrics.ts';
import type { DiskSpec as _limiquantix_node_v1_DiskSpec, DiskSpec__Output as _limiquantix_node_v1_DiskSpec__Output } from './limiquantix/node/v1/DiskSpec.ts';
import type { DownloadImageOnNodeRequest as _limiquantix_node_v1_DownloadImageOnNodeRequest, DownloadImageOnNodeRequest__Output as _limiquantix_node_v1_DownloadImageOnNodeRequest__Output } from './limiquantix/node/v1/DownloadImageOnNodeRequest.ts';
import type { DownloadProgress as _limiquantix_node_v1_DownloadProgress, DownloadProgress__Output as _limiquantix_node_v1_DownloadProgress__Output } from './limiquantix/node/v1/DownloadProgress.ts';
import type { GetDownloadStatusRequest as _limiquantix_node_v1_GetDownloadStatusRequest, GetDownloadStatusRequest__Output as _limiquantix_node_v1_GetDownloadStatusRequest__Output } from './limiquantix/node/v1/GetDownloadStatusRequest.ts';
import type { GetNetworkPortStatusRequest as _limiquantix_node_v1_GetNetworkPortStatusRequest, GetNetworkPortStatusRequest__Output as _limiquantix_node_v1_GetNetworkPortStatusRequest__Output } from './limiquantix/node/v1/GetNetworkPortStatusRequest.ts';
import type { HealthCheckRequest as _limiquantix_node_v1_HealthCheckRequest, HealthCheckRequest__Output as _limiquantix_node_v1_HealthCheckRequest__Output } from './limiquantix/node/v1/HealthCheckRequest.ts';
import type { HealthCheckResponse as _limiquantix_node_v1_HealthCheckResponse, HealthCheckResponse__Output as _limiquantix_node_v1_HealthCheckResponse__Output } from './limiquantix/node/v1/HealthCheckResponse.ts';
import type { HypervisorCapabilities as _limiquantix_node_v1_HypervisorCapabilities, HypervisorCapabilities__Output as _limiquantix_node_v1_HypervisorCapabilities__Output } from './limiquantix/node/v1/HypervisorCapabilities.ts';
import type { InitStoragePoolRequest as _limiquantix_node_v1_InitStoragePoolRequest, InitStoragePoolRequest__Output as _limiquantix_node_v1_InitStoragePoolRequest__Output } from './limiquantix/node/v1/InitStoragePoolRequest.ts';
import type { IscsiPoolConfig as _limiquantix_node_v1_IscsiPoolConfig, IscsiPoolConfig__Output as _limiquantix_node_v1_IscsiPoolConfig__Output } from './limiquantix/node/v1/IscsiPoolConfig.ts';
import type { ListDownloadsResponse as _limiquantix_node_v1_ListDownloadsResponse, ListDownloadsResponse__Output as _limiquantix_node_v1_ListDownloadsResponse__Output } from './limiquantix/node/v1/ListDownloadsResponse.ts';
import type { ListNetworkPortsResponse as _limiquantix_node_v1_ListNetworkPortsResponse, ListNetworkPortsResponse__Output as _limiquantix_node_v1_ListNetworkPortsResponse__Output } from './limiquantix/node/v1/ListNetworkPortsResponse.ts';
import type { ListSnapshotsResponse as _limiquantix_node_v1_ListSnapshotsResponse, ListSnapshotsResponse__Output as _limiquantix_node_v1_ListSnapshotsResponse__Output } from './limiquantix/node/v1/ListSnapshotsResponse.ts';
import type { ListStoragePoolFilesRequest as _limiquantix_node_v1_ListStoragePoolFilesRequest, ListStoragePoolFilesRequest__Output as _limiquantix_node_v1_ListStoragePoolFilesRequest__Output } from './limiquantix/node/v1/ListStoragePoolFilesRequest.ts';
import type { ListStoragePoolFilesResponse as _limiquantix_node_v1_ListStoragePoolFilesResponse, ListStoragePoolFilesResponse__Output as _limiquantix_node_v1_ListStoragePoolFilesResponse__Output } from './limiquantix/node/v1/ListStoragePoolFilesResponse.ts';
import type { ListStoragePoolsResponse as _limiquantix_node_v1_ListStoragePoolsResponse, ListStoragePoolsResponse__Output as _limiquantix_node_v1_ListStoragePoolsResponse__Output } from './limiquantix/node/v1/ListStoragePoolsResponse.ts';
import type { ListVMsOnNodeResponse as _limiquantix_node_v1_ListVMsOnNodeResponse, ListVMsOnNodeResponse__Output as _limiquantix_node_v1_ListVMsOnNodeResponse__Output } from './limiquantix/node/v1/ListVMsOnNodeResponse.ts';
import type { LocalDirPoolConfig as _limiquantix_node_v1_LocalDirPoolConfig, LocalDirPoolConfig__Output as _limiquantix_node_v1_LocalDirPoolConfig__Output } from './limiquantix/node/v1/LocalDirPoolConfig.ts';
import type { MemoryInfo as _limiquantix_node_v1_MemoryInfo, MemoryInfo__Output as _limiquantix_node_v1_MemoryInfo__Output } from './limiquantix/node/v1/MemoryInfo.ts';
import type { MigrateVMRequest as _limiquantix_node_v1_MigrateVMRequest, MigrateVMRequest__Output as _limiquantix_node_v1_MigrateVMRequest__Output } from './limiquantix/node/v1/MigrateVMRequest.ts';
import type { MigrationProgress as _limiquantix_node_v1_MigrationProgress, MigrationProgress__Output as _limiquantix_node_v1_MigrationProgress__Output } from './limiquantix/node/v1/MigrationProgress.ts';
import type { MigrationToken as _limiquantix_node_v1_MigrationToken, MigrationToken__Output as _limiquantix_node_v1_MigrationToken__Output } from './limiquantix/node/v1/MigrationToken.ts';
import type { NetworkInfo as _limiquantix_node_v1_NetworkInfo, NetworkInfo__Output as _limiquantix_node_v1_NetworkInfo__Output } from './limiquantix/node/v1/NetworkInfo.ts';
import type { NetworkMetrics as _limiquantix_node_v1_NetworkMetrics, NetworkMetrics__Output as _limiquantix_node_v1_NetworkMetrics__Output } from './limiquantix/node/v1/NetworkMetrics.ts';
import type { NetworkPortInfo as _limiquantix_node_v1_NetworkPortInfo, NetworkPortInfo__Output as _limiquantix_node_v1_NetworkPortInfo__Output } from './limiquantix/node/v1/NetworkPortInfo.ts';
import type { NetworkPortQoS as _limiquantix_node_v1_NetworkPortQoS, NetworkPortQoS__Output as _limiquantix_node_v1_NetworkPortQoS__Output } from './limiquantix/node/v1/NetworkPortQoS.ts';
import type { NfsPoolConfig as _limiquantix_node_v1_NfsPoolConfig, NfsPoolConfig__Output as _limiquantix_node_v1_NfsPoolConfig__Output } from './limiquantix/node/v1/NfsPoolConfig.ts';
import type { NicSpec as _limiquantix_node_v1_NicSpec, NicSpec__Output as _limiquantix_node_v1_NicSpec__Output } from './limiquantix/node/v1/NicSpec.ts';
import type { NodeDaemonServiceClient as _limiquantix_node_v1_NodeDaemonServiceClient, NodeDaemonServiceDefinition as _limiquantix_node_v1_NodeDaemonServiceDefinition } from './limiquantix/node/v1/NodeDaemonService.ts';
import type { NodeEvent as _limiquantix_node_v1_NodeEvent, NodeEvent__Output as _limiquantix_node_v1_NodeEvent__Output } from './limiquantix/node/v1/NodeEvent.ts';
import type { NodeInfoResponse as _limiquantix_node_v1_NodeInfoResponse, NodeInfoResponse__Output as _limiquantix_node_v1_NodeInfoResponse__Output } from './limiquantix/node/v1/NodeInfoResponse.ts';
import type { NodeMetrics as _limiquantix_node_v1_NodeMetrics, NodeMetrics__Output as _limiquantix_node_v1_NodeMetrics__Output } from './limiquantix/node/v1/NodeMetrics.ts';
import type { OVSStatusResponse as _limiquantix_node_v1_OVSStatusResponse, OVSStatusResponse__Output as _limiquantix_node_v1_OVSStatusResponse__Output } from './limiquantix/node/v1/OVSStatusResponse.ts';
import type { PrepareMigrationRequest as _limiquantix_node_v1_PrepareMigrationRequest, PrepareMigrationRequest__Output as _limiquantix_node_v1_PrepareMigrationRequest__Output } from './limiquantix/node/v1/PrepareMigrationRequest.ts';
import type { ResizeVolumeRequest as _limiquantix_node_v1_ResizeVolumeRequest, ResizeVolumeRequest__Output as _limiquantix_node_v1_ResizeVolumeRequest__Output } from './limiquantix/node/v1/ResizeVolumeRequest.ts';
import type { ResourceUsage as _limiquantix_node_v1_ResourceUsage, ResourceUsage__Output as _limiquantix_node_v1_ResourceUsage__Output } from './limiquantix/node/v1/ResourceUsage.ts';
import type { RevertSnapshotRequest as _limiquantix_node_v1_RevertSnapshotRequest, RevertSnapshotRequest__Output as _limiquantix_node_v1_RevertSnapshotRequest__Output } from './limiquantix/node/v1/RevertSnapshotRequest.ts';
import type { SnapshotResponse as _limiquantix_node_v1_SnapshotResponse, SnapshotResponse__Output as _limiquantix_node_v1_SnapshotResponse__Output } from './limiquantix/node/v1/SnapshotResponse.ts';
import type { StopVMRequest as _limiquantix_node_v1_StopVMRequest, StopVMRequest__Output as _limiquantix_node_v1_StopVMRequest__Output } from './limiquantix/node/v1/StopVMRequest.ts';
import type { StorageInfo as _limiquantix_node_v1_StorageInfo, StorageInfo__Output as _limiquantix_node_v1_StorageInfo__Output } from './limiquantix/node/v1/StorageInfo.ts';
import type { StoragePoolConfig as _limiquantix_node_v1_StoragePoolConfig, StoragePoolConfig__Output as _limiquantix_node_v1_StoragePoolConfig__Output } from './limiquantix/node/v1/StoragePoolConfig.ts';
import type { StoragePoolFileEntry as _limiquantix_node_v1_StoragePoolFileEntry, StoragePoolFileEntry__Output as _limiquantix_node_v1_StoragePoolFileEntry__Output } from './limiquantix/node/v1/StoragePoolFileEntry.ts';
import type { StoragePoolIdRequest as _limiquantix_node_v1_StoragePoolIdRequest, StoragePoolIdRequest__Output as _limiquantix_node_v1_StoragePoolIdRequest__Output } from './limiquantix/node/v1/StoragePoolIdRequest.ts';
import type { StoragePoolInfoResponse as _limiquantix_node_v1_StoragePoolInfoResponse, StoragePoolInfoResponse__Output as _limiquantix_node_v1_StoragePoolInfoResponse__Output } from './limiquantix/node/v1/StoragePoolInfoResponse.ts';
import type { StreamMetricsRequest as _limiquantix_node_v1_StreamMetricsRequest, StreamMetricsRequest__Output as _limiquantix_node_v1_StreamMetricsRequest__Output } from './limiquantix/node/v1/StreamMetricsRequest.ts';
import type { VMDisk as _limiquantix_node_v1_VMDisk, VMDisk__Output as _limiquantix_node_v1_VMDisk__Output } from './limiquantix/node/v1/VMDisk.ts';
import type { VMIdRequest as _limiquantix_node_v1_VMIdRequest, VMIdRequest__Output as _limiquantix_node_v1_VMIdRequest__Output } from './limiquantix/node/v1/VMIdRequest.ts';
import type { VMMetrics as _limiquantix_node_v1_VMMetrics, VMMetrics__Output as _limiquantix_node_v1_VMMetrics__Output } from './limiquantix/node/v1/VMMetrics.ts';
import type { VMSpec as _limiquantix_node_v1_VMSpec, VMSpec__Output as _limiquantix_node_v1_VMSpec__Output } from './limiquantix/node/v1/VMSpec.ts';
import type { VMStatusResponse as _limiquantix_node_v1_VMStatusResponse, VMStatusResponse__Output as _limiquantix_node_v1_VMStatusResponse__Output } from './limiquantix/node/v1/VMStatusResponse.ts';
import type { VolumeAttachInfoResponse as _limiquantix_node_v1_VolumeAttachInfoResponse, VolumeAttachInfoResponse__Output as _limiquantix_node_v1_VolumeAttachInfoResponse__Output } from './limiquantix/node/v1/VolumeAttachInfoResponse.ts';
import type { VolumeIdRequest as _limiquantix_node_v1_VolumeIdRequest, VolumeIdRequest__Output as _limiquantix_node_v1_VolumeIdRequest__Output } from './limiquantix/node/v1/VolumeIdRequest.ts';

type SubtypeConstructor<Constructor extends new (...args: any) => any, Subtype> = {
  new(...args: ConstructorParameters<Constructor>): Subtype;
};

export interface ProtoGrpcType {
  google: {
    protobuf: {
      Empty: MessageTypeDefinition<_google_protobuf_Empty, _google_protobuf_Empty__Output>
      Timestamp: MessageTypeDefinition<_google_protobuf_Timestamp, _google_protobuf_Timestamp__Output>
    }
  }
  limiquantix: {
    node: {
      v1: {
        AttachDiskRequest: MessageTypeDefinition<_limiquantix_node_v1_AttachDiskRequest, _limiquantix_node_v1_AttachDiskRequest__Output>
        AttachNICRequest: MessageTypeDefinition<_limiquantix_node_v1_AttachNICRequest, _limiquantix_node_v1_AttachNICRequest__Output>
        BootDevice: EnumTypeDefinition
        CancelDownloadRequest: MessageTypeDefinition<_limiquantix_node_v1_CancelDownloadRequest, _limiquantix_node_v1_CancelDownloadRequest__Output>
        CdromSpec: MessageTypeDefinition<_limiquantix_node_v1_CdromSpec, _limiquantix_node_v1_CdromSpec__Output>
        CephPoolConfig: MessageTypeDefinition<_limiquantix_node_v1_CephPoolConfig, _limiquantix_node_v1_CephPoolConfig__Output>
        ChangeMediaRequest: MessageTypeDefinition<_limiquantix_node_v1_ChangeMediaRequest, _limiquantix_node_v1_ChangeMediaRequest__Output>
        CloneVolumeRequest: MessageTypeDefinition<_limiquantix_node_v1_CloneVolumeRequest, _limiquantix_node_v1_CloneVolumeRequest__Output>
        CloudInitConfig: MessageTypeDefinition<_limiquantix_node_v1_CloudInitConfig, _limiquantix_node_v1_CloudInitConfig__Output>
        ConfigureNetworkPortRequest: MessageTypeDefinition<_limiquantix_node_v1_ConfigureNetworkPortRequest, _limiquantix_node_v1_ConfigureNetworkPortRequest__Output>
        ConsoleInfoResponse: MessageTypeDefinition<_limiquantix_node_v1_ConsoleInfoResponse, _limiquantix_node_v1_ConsoleInfoResponse__Output>
        ConsoleSpec: MessageTypeDefinition<_limiquantix_node_v1_ConsoleSpec, _limiquantix_node_v1_ConsoleSpec__Output>
        CpuInfo: MessageTypeDefinition<_limiquantix_node_v1_CpuInfo, _limiquantix_node_v1_CpuInfo__Output>
        CreateSnapshotRequest: MessageTypeDefinition<_limiquantix_node_v1_CreateSnapshotRequest, _limiquantix_node_v1_CreateSnapshotRequest__Output>
        CreateVMOnNodeRequest: MessageTypeDefinition<_limiquantix_node_v1_CreateVMOnNodeRequest, _limiquantix_node_v1_CreateVMOnNodeRequest__Output>
        CreateVMOnNodeResponse: MessageTypeDefinition<_limiquantix_node_v1_CreateVMOnNodeResponse, _limiquantix_node_v1_CreateVMOnNodeResponse__Output>
        CreateVolumeRequest: MessageTypeDefinition<_limiquantix_node_v1_CreateVolumeRequest, _limiquantix_node_v1_CreateVolumeRequest__Output>
        CreateVolumeSnapshotRequest: MessageTypeDefinition<_limiquantix_node_v1_CreateVolumeSnapshotRequest, _limiquantix_node_v1_CreateVolumeSnapshotRequest__Output>
        DeleteNetworkPortRequest: MessageTypeDefinition<_limiquantix_node_v1_DeleteNetworkPortRequest, _limiquantix_node_v1_DeleteNetworkPortRequest__Output>
        DeleteSnapshotRequest: MessageTypeDefinition<_limiquantix_node_v1_DeleteSnapshotRequest, _limiquantix_node_v1_DeleteSnapshotRequest__Output>
        DetachDiskRequest: MessageTypeDefinition<_limiquantix_node_v1_DetachDiskRequest, _limiquantix_node_v1_DetachDiskRequest__Output>
        DetachNICRequest: MessageTypeDefinition<_limiquantix_node_v1_DetachNICRequest, _limiquantix_node_v1_DetachNICRequest__Output>
        DiskBus: EnumTypeDefinition
        DiskFormat: EnumTypeDefinition
        DiskMetrics: MessageTypeDefinition<_limiquantix_node_v1_DiskMetrics, _limiquantix_node_v1_DiskMetrics__Output>
        DiskSpec: MessageTypeDefinition<_limiquantix_node_v1_DiskSpec, _limiquantix_node_v1_DiskSpec__Output>
        DownloadImageOnNodeRequest: MessageTypeDefinition<_limiquantix_node_v1_DownloadImageOnNodeRequest, _limiquantix_node_v1_DownloadImageOnNodeRequest__Output>
        DownloadProgress: MessageTypeDefinition<_limiquantix_node_v1_DownloadProgress, _limiquantix_node_v1_DownloadProgress__Output>
        EventType: EnumTypeDefinition
        Firmware: EnumTypeDefinition
        GetDownloadStatusRequest: MessageTypeDefinition<_limiquantix_node_v1_GetDownloadStatusRequest, _limiquantix_node_v1_GetDownloadStatusRequest__Output>
        GetNetworkPortStatusRequest: MessageTypeDefinition<_limiquantix_node_v1_GetNetworkPortStatusRequest, _limiquantix_node_v1_GetNetworkPortStatusRequest__Output>
        HealthCheckRequest: MessageTypeDefinition<_limiquantix_node_v1_HealthCheckRequest, _limiquantix_node_v1_HealthCheckRequest__Output>
        HealthCheckResponse: MessageTypeDefinition<_limiquantix_node_v1_HealthCheckResponse, _limiquantix_node_v1_HealthCheckResponse__Output>
        HypervisorCapabilities: MessageTypeDefinition<_limiquantix_node_v1_HypervisorCapabilities, _limiquantix_node_v1_HypervisorCapabilities__Output>
        InitStoragePoolRequest: MessageTypeDefinition<_limiquantix_node_v1_InitStoragePoolRequest, _limiquantix_node_v1_InitStoragePoolRequest__Output>
        IscsiPoolConfig: MessageTypeDefinition<_limiquantix_node_v1_IscsiPoolConfig, _limiquantix_node_v1_IscsiPoolConfig__Output>
        ListDownloadsResponse: MessageTypeDefinition<_limiquantix_node_v1_ListDownloadsResponse, _limiquantix_node_v1_ListDownloadsResponse__Output>
        ListNetworkPortsResponse: MessageTypeDefinition<_limiquantix_node_v1_ListNetworkPortsResponse, _limiquantix_node_v1_ListNetworkPortsResponse__Output>
        ListSnapshotsResponse: MessageTypeDefinition<_limiquantix_node_v1_ListSnapshotsResponse, _limiquantix_node_v1_ListSnapshotsResponse__Output>
        ListStoragePoolFilesRequest: MessageTypeDefinition<_limiquantix_node_v1_ListStoragePoolFilesRequest, _limiquantix_node_v1_ListStoragePoolFilesRequest__Output>
        ListStoragePoolFilesResponse: MessageTypeDefinition<_limiquantix_node_v1_ListStoragePoolFilesResponse, _limiquantix_node_v1_ListStoragePoolFilesResponse__Output>
        ListStoragePoolsResponse: MessageTypeDefinition<_limiquantix_node_v1_ListStoragePoolsResponse, _limiquantix_node_v1_ListStoragePoolsResponse__Output>
        ListVMsOnNodeResponse: MessageTypeDefinition<_limiquantix_node_v1_ListVMsOnNodeResponse, _limiquantix_node_v1_ListVMsOnNodeResponse__Output>
        LocalDirPoolConfig: MessageTypeDefinition<_limiquantix_node_v1_LocalDirPoolConfig, _limiquantix_node_v1_LocalDirPoolConfig__Output>
        MemoryInfo: MessageTypeDefinition<_limiquantix_node_v1_MemoryInfo, _limiquantix_node_v1_MemoryInfo__Output>
        MigrateVMRequest: MessageTypeDefinition<_limiquantix_node_v1_MigrateVMRequest, _limiquantix_node_v1_MigrateVMRequest__Output>
        MigrationPhase: EnumTypeDefinition
        MigrationProgress: MessageTypeDefinition<_limiquantix_node_v1_MigrationProgress, _limiquantix_node_v1_MigrationProgress__Output>
        MigrationToken: MessageTypeDefinition<_limiquantix_node_v1_MigrationToken, _limiquantix_node_v1_MigrationToken__Output>
        NetworkInfo: MessageTypeDefinition<_limiquantix_node_v1_NetworkInfo, _limiquantix_node_v1_NetworkInfo__Output>
        NetworkMetrics: MessageTypeDefinition<_limiquantix_node_v1_NetworkMetrics, _limiquantix_node_v1_NetworkMetrics__Output>
        NetworkPortBindingType: EnumTypeDefinition
        NetworkPortInfo: MessageTypeDefinition<_limiquantix_node_v1_NetworkPortInfo, _limiquantix_node_v1_NetworkPortInfo__Output>
        NetworkPortPhase: EnumTypeDefinition
        NetworkPortQoS: MessageTypeDefinition<_limiquantix_node_v1_NetworkPortQoS, _limiquantix_node_v1_NetworkPortQoS__Output>
        NfsPoolConfig: MessageTypeDefinition<_limiquantix_node_v1_NfsPoolConfig, _limiquantix_node_v1_NfsPoolConfig__Output>
        NicModel: EnumTypeDefinition
        NicSpec: MessageTypeDefinition<_limiquantix_node_v1_NicSpec, _limiquantix_node_v1_NicSpec__Output>
        /**
         * Everything a control plane asks of one hypervisor host.
         */
        NodeDaemonService: SubtypeConstructor<typeof grpc.Client, _limiquantix_node_v1_NodeDaemonServiceClient> & { service: _limiquantix_node_v1_NodeDaemonServiceDefinition }
        NodeEvent: MessageTypeDefinition<_limiquantix_node_v1_NodeEvent, _limiquantix_node_v1_NodeEvent__Output>
        NodeInfoResponse: MessageTypeDefinition<_limiquantix_node_v1_NodeInfoResponse, _limiquantix_node_v1_NodeInfoResponse__Output>
        NodeMetrics: MessageTypeDefinition<_limiquantix_node_v1_NodeMetrics, _limiquantix_node_v1_NodeMetrics__Output>
        OVSStatusResponse: MessageTypeDefinition<_limiquantix_node_v1_OVSStatusResponse, _limiquantix_node_v1_OVSStatusResponse__Output>
        PowerState: EnumTypeDefinition
        PrepareMigrationRequest: MessageTypeDefinition<_limiquantix_node_v1_PrepareMigrationRequest, _limiquantix_node_v1_PrepareMigrationRequest__Output>
        ResizeVolumeRequest: MessageTypeDefinition<_limiquantix_node_v1_ResizeVolumeRequest, _limiquantix_node_v1_ResizeVolumeRequest__Output>
        ResourceUsage: MessageTypeDefinition<_limiquantix_node_v1_ResourceUsage, _limiquantix_node_v1_ResourceUsage__Output>
        RevertSnapshotRequest: MessageTypeDefinition<_limiquantix_node_v1_RevertSnapshotRequest, _limiquantix_node_v1_RevertSnapshotRequest__Output>
        SnapshotResponse: MessageTypeDefinition<_limiquantix_node_v1_SnapshotResponse, _limiquantix_node_v1_SnapshotResponse__Output>
        StopVMRequest: MessageTypeDefinition<_limiquantix_node_v1_StopVMRequest, _limiquantix_node_v1_StopVMRequest__Output>
        StorageInfo: MessageTypeDefinition<_limiquantix_node_v1_StorageInfo, _limiquantix_node_v1_StorageInfo__Output>
        StoragePoolConfig: MessageTypeDefinition<_limiquantix_node_v1_StoragePoolConfig, _limiquantix_node_v1_StoragePoolConfig__Output>
        StoragePoolFileEntry: MessageTypeDefinition<_limiquantix_node_v1_StoragePoolFileEntry, _limiquantix_node_v1_StoragePoolFileEntry__Output>
        StoragePoolFileOrder: EnumTypeDefinition
        StoragePoolHealth: EnumTypeDefinition
        StoragePoolIdRequest: MessageTypeDefinition<_limiquantix_node_v1_StoragePoolIdRequest, _limiquantix_node_v1_StoragePoolIdRequest__Output>
        StoragePoolInfoResponse: MessageTypeDefinition<_limiquantix_node_v1_StoragePoolInfoResponse, _limiquantix_node_v1_StoragePoolInfoResponse__Output>
        StoragePoolType: EnumTypeDefinition
        StreamMetricsRequest: MessageTypeDefinition<_limiquantix_node_v1_StreamMetricsRequest, _limiquantix_node_v1_StreamMetricsRequest__Output>
        VMDisk: MessageTypeDefinition<_limiquantix_node_v1_VMDisk, _limiquantix_node_v1_VMDisk__Output>
        VMIdRequest: MessageTypeDefinition<_limiquantix_node_v1_VMIdRequest, _limiquantix_node_v1_VMIdRequest__Output>
        VMMetrics: MessageTypeDefinition<_limiquantix_node_v1_VMMetrics, _limiquantix_node_v1_VMMetrics__Output>
        VMSpec: MessageTypeDefinition<_limiquantix_node_v1_VMSpec, _limiquantix_node_v1_VMSpec__Output>
        VMStatusResponse: MessageTypeDefinition<_limiquantix_node_v1_VMStatusResponse, _limiquantix_node_v1_VMStatusResponse__Output>
        VolumeAttachInfoResponse: MessageTypeDefinition<_limiquantix_node_v1_VolumeAttachInfoResponse, _limiquantix_node_v1_VolumeAttachInfoResponse__Output>
        VolumeIdRequest: MessageTypeDefinition<_limiquantix_node_v1_VolumeIdRequest, _limiquantix_node_v1_VolumeIdRequest__Output>
        VolumeSourceType: EnumTypeDefinition
      }
    }
  }
}

