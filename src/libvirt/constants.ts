// Numbers of libvirt's public API (libvirt.h, virterror.h, libvirt-qemu.h) under their own names, less the common prefix.

/** virErrorNumber: what went wrong. */
export const VIR_ERR = {
  OK: 0,
  INTERNAL_ERROR: 1,
  NO_MEMORY: 2,
  NO_SUPPORT: 3,
  UNKNOWN_HOST: 4,
  NO_CONNECT: 5,
  INVALID_CONN: 6,
  INVALID_DOMAIN: 7,
  INVALID_ARG: 8,
  OPERATION_FAILED: 9,
  GET_FAILED: 10,
  POST_FAILED: 11,
  HTTP_ERROR: 12,
  SEXPR_SERIAL: 13,
  NO_XEN: 14,
  XEN_CALL: 15,
  OS_TYPE: 16,
  NO_KERNEL: 17,
  NO_ROOT: 18,
  NO_SOURCE: 19,
  NO_TARGET: 20,
  NO_NAME: 21,
  NO_OS: 22,
  NO_DEVICE: 23,
  NO_XENSTORE: 24,
  DRIVER_FULL: 25,
  CALL_FAILED: 26,
  XML_ERROR: 27,
  DOM_EXIST: 28,
  OPERATION_DENIED: 29,
  OPEN_FAILED: 30,
  READ_FAILED: 31,
  PARSE_FAILED: 32,
  CONF_SYNTAX: 33,
  WRITE_FAILED: 34,
  XML_DETAIL: 35,
  INVALID_NETWORK: 36,
  NETWORK_EXIST: 37,
  SYSTEM_ERROR: 38,
  RPC: 39,
  GNUTLS_ERROR: 40,
  NO_DOMAIN: 42,
  NO_NETWORK: 43,
  INVALID_MAC: 44,
  AUTH_FAILED: 45,
  INVALID_STORAGE_POOL: 46,
  INVALID_STORAGE_VOL: 47,
  NO_STORAGE_POOL: 49,
  NO_STORAGE_VOL: 50,
  INVALID_NODE_DEVICE: 52,
  NO_NODE_DEVICE: 53,
  NO_SECURITY_MODEL: 54,
  OPERATION_INVALID: 55,
  NO_INTERFACE: 57,
  INVALID_INTERFACE: 58,
  MULTIPLE_INTERFACES: 59,
  INVALID_NWFILTER: 61,
  NO_NWFILTER: 62,
  BUILD_FIREWALL: 63,
  INVALID_SECRET: 65,
  NO_SECRET: 66,
  CONFIG_UNSUPPORTED: 67,
  OPERATION_TIMEOUT: 68,
  MIGRATE_PERSIST_FAILED: 69,
  HOOK_SCRIPT_FAILED: 70,
  INVALID_DOMAIN_SNAPSHOT: 71,
  NO_DOMAIN_SNAPSHOT: 72,
  INVALID_STREAM: 73,
  ARGUMENT_UNSUPPORTED: 74,
  STORAGE_PROBE_FAILED: 75,
  STORAGE_POOL_BUILT: 76,
  SNAPSHOT_REVERT_RISKY: 77,
  OPERATION_ABORTED: 78,
  AUTH_CANCELLED: 79,
  NO_DOMAIN_METADATA: 80,
  MIGRATE_UNSAFE: 81,
  OVERFLOW: 82,
  BLOCK_COPY_ACTIVE: 83,
  OPERATION_UNSUPPORTED: 84,
  SSH: 85,
  AGENT_UNRESPONSIVE: 86,
  RESOURCE_BUSY: 87,
  ACCESS_DENIED: 88,
  DBUS_SERVICE: 89,
  STORAGE_VOL_EXIST: 90,
  CPU_INCOMPATIBLE: 91,
  XML_INVALID_SCHEMA: 92,
  MIGRATE_FINISH_OK: 93,
  AUTH_UNAVAILABLE: 94,
  NO_SERVER: 95,
  NO_CLIENT: 96,
  AGENT_UNSYNCED: 97,
  LIBSSH: 98,
  DEVICE_MISSING: 99,
  INVALID_NWFILTER_BINDING: 100,
  NO_NWFILTER_BINDING: 101,
  INVALID_DOMAIN_CHECKPOINT: 102,
  NO_DOMAIN_CHECKPOINT: 103,
  NO_DOMAIN_BACKUP: 104,
  INVALID_NETWORK_PORT: 105,
  NETWORK_PORT_EXIST: 106,
  NO_NETWORK_PORT: 107,
  NO_HOSTNAME: 108,
  CHECKPOINT_INCONSISTENT: 109,
  MULTIPLE_DOMAINS: 110,
} as const

/** virErrorDomain: the part of libvirt that raised an error; only those the agent looks at. */
export const VIR_FROM = { NONE: 0, RPC: 7, QEMU: 10, NETWORK: 19, STORAGE: 18, STREAMS: 38 } as const

/** virDomainState. */
export const VIR_DOMAIN_STATE = {
  NOSTATE: 0,
  RUNNING: 1,
  BLOCKED: 2,
  PAUSED: 3,
  SHUTDOWN: 4,
  SHUTOFF: 5,
  CRASHED: 6,
  PMSUSPENDED: 7,
} as const

/** virDomainRunningReason. */
export const VIR_DOMAIN_RUNNING = {
  UNKNOWN: 0,
  BOOTED: 1,
  MIGRATED: 2,
  RESTORED: 3,
  FROM_SNAPSHOT: 4,
  UNPAUSED: 5,
  MIGRATION_CANCELED: 6,
  SAVE_CANCELED: 7,
  WAKEUP: 8,
  CRASHED: 9,
  POSTCOPY: 10,
  POSTCOPY_FAILED: 11,
} as const

/** virDomainPausedReason. */
export const VIR_DOMAIN_PAUSED = {
  UNKNOWN: 0,
  USER: 1,
  MIGRATION: 2,
  SAVE: 3,
  DUMP: 4,
  IOERROR: 5,
  WATCHDOG: 6,
  FROM_SNAPSHOT: 7,
  SHUTTING_DOWN: 8,
  SNAPSHOT: 9,
  CRASHED: 10,
  STARTING_UP: 11,
  POSTCOPY: 12,
  POSTCOPY_FAILED: 13,
} as const

/** virDomainShutoffReason. */
export const VIR_DOMAIN_SHUTOFF = {
  UNKNOWN: 0,
  SHUTDOWN: 1,
  DESTROYED: 2,
  CRASHED: 3,
  MIGRATED: 4,
  SAVED: 5,
  FAILED: 6,
  FROM_SNAPSHOT: 7,
  DAEMON: 8,
} as const

/** virDomainEventID: what CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY takes. */
export const VIR_DOMAIN_EVENT_ID = {
  LIFECYCLE: 0,
  REBOOT: 1,
  RTC_CHANGE: 2,
  WATCHDOG: 3,
  IO_ERROR: 4,
  GRAPHICS: 5,
  IO_ERROR_REASON: 6,
  CONTROL_ERROR: 7,
  BLOCK_JOB: 8,
  DISK_CHANGE: 9,
  TRAY_CHANGE: 10,
  PMWAKEUP: 11,
  PMSUSPEND: 12,
  BALLOON_CHANGE: 13,
  PMSUSPEND_DISK: 14,
  DEVICE_REMOVED: 15,
  BLOCK_JOB_2: 16,
  TUNABLE: 17,
  AGENT_LIFECYCLE: 18,
  DEVICE_ADDED: 19,
  MIGRATION_ITERATION: 20,
  JOB_COMPLETED: 21,
  DEVICE_REMOVAL_FAILED: 22,
  METADATA_CHANGE: 23,
  BLOCK_THRESHOLD: 24,
  MEMORY_FAILURE: 25,
  MEMORY_DEVICE_SIZE_CHANGE: 26,
} as const

/** virDomainEventType: `event` of a lifecycle event. */
export const VIR_DOMAIN_EVENT = {
  DEFINED: 0,
  UNDEFINED: 1,
  STARTED: 2,
  SUSPENDED: 3,
  RESUMED: 4,
  STOPPED: 5,
  SHUTDOWN: 6,
  PMSUSPENDED: 7,
  CRASHED: 8,
} as const

/** `detail` of a lifecycle event DEFINED. */
export const VIR_DOMAIN_EVENT_DEFINED = {
  ADDED: 0,
  UPDATED: 1,
  RENAMED: 2,
  FROM_SNAPSHOT: 3,
} as const

/** `detail` of a lifecycle event UNDEFINED. */
export const VIR_DOMAIN_EVENT_UNDEFINED = {
  REMOVED: 0,
  RENAMED: 1,
} as const

/** `detail` of a lifecycle event STARTED. */
export const VIR_DOMAIN_EVENT_STARTED = {
  BOOTED: 0,
  MIGRATED: 1,
  RESTORED: 2,
  FROM_SNAPSHOT: 3,
  WAKEUP: 4,
} as const

/** `detail` of a lifecycle event SUSPENDED. */
export const VIR_DOMAIN_EVENT_SUSPENDED = {
  PAUSED: 0,
  MIGRATED: 1,
  IOERROR: 2,
  WATCHDOG: 3,
  RESTORED: 4,
  FROM_SNAPSHOT: 5,
  API_ERROR: 6,
  POSTCOPY: 7,
  POSTCOPY_FAILED: 8,
} as const

/** `detail` of a lifecycle event RESUMED. */
export const VIR_DOMAIN_EVENT_RESUMED = {
  UNPAUSED: 0,
  MIGRATED: 1,
  FROM_SNAPSHOT: 2,
  POSTCOPY: 3,
  POSTCOPY_FAILED: 4,
} as const

/** `detail` of a lifecycle event STOPPED. */
export const VIR_DOMAIN_EVENT_STOPPED = {
  SHUTDOWN: 0,
  DESTROYED: 1,
  CRASHED: 2,
  MIGRATED: 3,
  SAVED: 4,
  FAILED: 5,
  FROM_SNAPSHOT: 6,
} as const

/** `detail` of a lifecycle event SHUTDOWN. */
export const VIR_DOMAIN_EVENT_SHUTDOWN = {
  FINISHED: 0,
  GUEST: 1,
  HOST: 2,
} as const

/** `detail` of a lifecycle event PMSUSPENDED. */
export const VIR_DOMAIN_EVENT_PMSUSPENDED = {
  MEMORY: 0,
  DISK: 1,
} as const

/** `detail` of a lifecycle event CRASHED. */
export const VIR_DOMAIN_EVENT_CRASHED = {
  PANICKED: 0,
  CRASHLOADED: 1,
} as const

/** `state` of an agent lifecycle event (virConnectDomainEventAgentLifecycleState). */
export const VIR_AGENT_STATE = { CONNECTED: 1, DISCONNECTED: 2 } as const

/** virDomainDefineFlags. */
export const VIR_DOMAIN_DEFINE = {
  VALIDATE: 1,
} as const

/** virDomainCreateFlags. */
export const VIR_DOMAIN_START = {
  PAUSED: 1,
  AUTODESTROY: 2,
  BYPASS_CACHE: 4,
  FORCE_BOOT: 8,
  VALIDATE: 16,
  RESET_NVRAM: 32,
} as const

/** virDomainDestroyFlagsValues. */
export const VIR_DOMAIN_DESTROY = {
  DEFAULT: 0,
  GRACEFUL: 1,
  REMOVE_LOGS: 2,
} as const

/** virDomainShutdownFlagValues: how the guest is asked. */
export const VIR_DOMAIN_SHUTDOWN_FLAGS = {
  DEFAULT: 0,
  ACPI_POWER_BTN: 1,
  GUEST_AGENT: 2,
  INITCTL: 4,
  SIGNAL: 8,
  PARAVIRT: 16,
} as const

/** virDomainRebootFlagValues: how the guest is asked. */
export const VIR_DOMAIN_REBOOT = {
  DEFAULT: 0,
  ACPI_POWER_BTN: 1,
  GUEST_AGENT: 2,
  INITCTL: 4,
  SIGNAL: 8,
  PARAVIRT: 16,
} as const

/** virDomainUndefineFlagsValues. */
export const VIR_DOMAIN_UNDEFINE = {
  MANAGED_SAVE: 1,
  SNAPSHOTS_METADATA: 2,
  NVRAM: 4,
  KEEP_NVRAM: 8,
  CHECKPOINTS_METADATA: 16,
  TPM: 32,
  KEEP_TPM: 64,
} as const

/** virDomainBackupBeginFlags: the targets are there. */
export const VIR_DOMAIN_BACKUP_BEGIN_REUSE_EXTERNAL = 1

/** virDomainXMLFlags. */
export const VIR_DOMAIN_XML = {
  SECURE: 1,
  INACTIVE: 2,
  UPDATE_CPU: 4,
  MIGRATABLE: 8,
} as const

/** virDomainMigrateFlags. CHANGE_PROTECTION keeps the domain from being changed between the calls of one migration. */
export const VIR_MIGRATE = {
  LIVE: 1,
  PERSIST_DEST: 8,
  PAUSED: 32,
  NON_SHARED_DISK: 64,
  CHANGE_PROTECTION: 256,
  UNSAFE: 512,
  ABORT_ON_ERROR: 4096,
  AUTO_CONVERGE: 8192,
  POSTCOPY: 32768,
  TLS: 65536,
} as const

/** Names of the typed parameters of a migration. */
export const VIR_MIGRATE_PARAM = {
  URI: 'migrate_uri',
  DEST_NAME: 'destination_name',
  DEST_XML: 'destination_xml',
  PERSIST_XML: 'persistent_xml',
  BANDWIDTH: 'bandwidth',
  BANDWIDTH_POSTCOPY: 'bandwidth.postcopy',
  LISTEN_ADDRESS: 'listen_address',
  MIGRATE_DISKS: 'migrate_disks',
  DISKS_PORT: 'disks_port',
} as const

/** virDomainJobType. */
export const VIR_DOMAIN_JOB = { NONE: 0, COMPLETED: 3 } as const

/** virDomainJobOperation: what a job does; only those the agent looks at. */
export const VIR_DOMAIN_JOB_OPERATION = { MIGRATION_OUT: 5, BACKUP: 9 } as const

/** virDomainGetJobStatsFlags. */
export const VIR_DOMAIN_JOB_STATS = { COMPLETED: 1, KEEP_COMPLETED: 2 } as const

/** virCPUCompareResult. */
export const VIR_CPU_COMPARE = { INCOMPATIBLE: 0, IDENTICAL: 1, SUPERSET: 2 } as const

/** virDomainConsoleFlags. */
export const VIR_DOMAIN_CONSOLE = {
  FORCE: 1,
  SAFE: 2,
} as const

/** virDomainModificationImpact. */
export const VIR_DOMAIN_AFFECT = {
  CURRENT: 0,
  LIVE: 1,
  CONFIG: 2,
} as const

/** virDomainDeviceModifyFlags, beside those of virDomainModificationImpact: opens a tray that the guest has locked. */
export const VIR_DOMAIN_DEVICE_MODIFY_FORCE = 4

/** virDomainMetadataType. */
export const VIR_DOMAIN_METADATA = {
  DESCRIPTION: 0,
  TITLE: 1,
  ELEMENT: 2,
} as const

/** virConnectListAllDomainsFlags. */
export const VIR_CONNECT_LIST_DOMAINS = {
  ACTIVE: 1,
  INACTIVE: 2,
  PERSISTENT: 4,
  TRANSIENT: 8,
  RUNNING: 16,
  PAUSED: 32,
  SHUTOFF: 64,
  OTHER: 128,
  MANAGEDSAVE: 256,
  NO_MANAGEDSAVE: 512,
  AUTOSTART: 1024,
  NO_AUTOSTART: 2048,
  HAS_SNAPSHOT: 4096,
  NO_SNAPSHOT: 8192,
  HAS_CHECKPOINT: 16384,
  NO_CHECKPOINT: 32768,
} as const

/** virConnectGetAllDomainStatsFlags. Polling always sets NOWAIT: a hung guest then answers with what is known. */
export const VIR_CONNECT_GET_ALL_DOMAINS_STATS = {
  ACTIVE: 1,
  INACTIVE: 2,
  PERSISTENT: 4,
  TRANSIENT: 8,
  RUNNING: 16,
  PAUSED: 32,
  SHUTOFF: 64,
  OTHER: 128,
  NOWAIT: 536870912,
  BACKING: 1073741824,
  ENFORCE_STATS: 2147483648,
} as const

/** virDomainStatsTypes: groups of values of CONNECT_GET_ALL_DOMAIN_STATS. */
export const VIR_DOMAIN_STATS = {
  STATE: 1,
  CPU_TOTAL: 2,
  BALLOON: 4,
  VCPU: 8,
  INTERFACE: 16,
  BLOCK: 32,
  PERF: 64,
  IOTHREAD: 128,
  MEMORY: 256,
  DIRTYRATE: 512,
  VM: 1024,
} as const

/** virDomainSnapshotCreateFlags. */
export const VIR_DOMAIN_SNAPSHOT_CREATE = {
  REDEFINE: 1,
  CURRENT: 2,
  NO_METADATA: 4,
  HALT: 8,
  DISK_ONLY: 16,
  REUSE_EXT: 32,
  QUIESCE: 64,
  ATOMIC: 128,
  LIVE: 256,
  VALIDATE: 512,
} as const

/** virDomainSnapshotDeleteFlags. */
export const VIR_DOMAIN_SNAPSHOT_DELETE = {
  CHILDREN: 1,
  METADATA_ONLY: 2,
  CHILDREN_ONLY: 4,
} as const

/** virDomainSnapshotRevertFlags. */
export const VIR_DOMAIN_SNAPSHOT_REVERT = {
  RUNNING: 1,
  PAUSED: 2,
  FORCE: 4,
  RESET_NVRAM: 8,
} as const

/** virDomainBlockCommitFlags. */
export const VIR_DOMAIN_BLOCK_COMMIT = { SHALLOW: 1, DELETE: 2, ACTIVE: 4, RELATIVE: 8, BANDWIDTH_BYTES: 16 } as const

/** virDomainBlockCopyFlags. */
export const VIR_DOMAIN_BLOCK_COPY = { SHALLOW: 1, REUSE_EXT: 2, TRANSIENT_JOB: 4, SYNCHRONOUS_WRITES: 8 } as const

/** virDomainBlockJobAbortFlags. */
export const VIR_DOMAIN_BLOCK_JOB_ABORT = { ASYNC: 1, PIVOT: 2 } as const

/** virDomainBlockJobType. */
export const VIR_DOMAIN_BLOCK_JOB_TYPE = {
  UNKNOWN: 0,
  PULL: 1,
  COPY: 2,
  COMMIT: 3,
  ACTIVE_COMMIT: 4,
  BACKUP: 5,
} as const

/** virDomainInterfaceAddressesSource. */
export const VIR_DOMAIN_INTERFACE_ADDRESSES_SRC = {
  LEASE: 0,
  AGENT: 1,
  ARP: 2,
} as const

/** virDomainGuestInfoTypes. */
export const VIR_DOMAIN_GUEST_INFO = {
  USERS: 1,
  OS: 2,
  TIMEZONE: 4,
  HOSTNAME: 8,
  FILESYSTEM: 16,
  DISKS: 32,
  INTERFACES: 64,
} as const

/** virStorageVolUploadFlags and virStorageVolDownloadFlags. */
export const VIR_STORAGE_VOL_SPARSE_STREAM = 1

/** virConnectFlags of CONNECT_OPEN. */
export const VIR_CONNECT_RO = 1

/** virTypedParameterFlags: without it a daemon leaves string parameters out of its answers. */
export const VIR_TYPED_PARAM_STRING_OKAY = 4

/** virDrvFeature numbers that a client asks of the daemon itself. */
export const VIR_DRV_FEATURE = { PROGRAM_KEEPALIVE: 10, REMOTE_EVENT_CALLBACK: 14 } as const

/** virDomainQemuMonitorCommandFlags. */
export const VIR_DOMAIN_QEMU_MONITOR_COMMAND = { DEFAULT: 0, HMP: 1 } as const

/** virDomainQemuAgentCommandTimeoutValues; positive values are seconds. */
export const VIR_DOMAIN_QEMU_AGENT_COMMAND = { BLOCK: -2, DEFAULT: -1, NOWAIT: 0, SHUTDOWN: 60 } as const
