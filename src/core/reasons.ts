import type { ErrorCode } from './error-code.ts'

interface ReasonInfo {
  readonly code: ErrorCode
  /** What happened, for docs/errors.md. */
  readonly meaning: string
  /** What an operator does about it, for docs/errors.md. */
  readonly remedy: string
}

const reason = (code: ErrorCode, meaning: string, remedy: string): ReasonInfo => ({ code, meaning, remedy })

/** Every error reason of the agent: the source of docs/errors.md. Names are stable; add, never rename. */
export const REASONS = {
  // general
  INTERNAL: reason(
    'INTERNAL',
    'A defect of the agent, or a condition it has no name for yet.',
    'Report it with the journal around the time it happened.',
  ),
  CANCELLED: reason(
    'CANCELLED',
    'The operation was cancelled by its owner or by the shutdown of the agent.',
    'Ask again if it is still wanted.',
  ),
  DEADLINE_EXCEEDED: reason(
    'DEADLINE_EXCEEDED',
    'A step did not finish before its deadline.',
    'Look at the named step: a hung server or an overloaded host; then retry.',
  ),
  ABORTED_BY_RESTART: reason(
    'ABORTED',
    'A restart of the agent interrupted the operation; all it had made was removed.',
    'Ask again.',
  ),
  SHUTTING_DOWN: reason('UNAVAILABLE', 'The agent is stopping and takes no new work.', 'Retry after its restart.'),
  UNIMPLEMENTED: reason(
    'UNIMPLEMENTED',
    'The method is part of the interface but not built in this version.',
    'Use another way, or a later version.',
  ),
  INVALID_REQUEST: reason(
    'INVALID_ARGUMENT',
    'A field of the request is missing, malformed or out of bounds.',
    'Correct the named field.',
  ),
  INVALID_NAME: reason(
    'INVALID_ARGUMENT',
    'A name or id has characters or a length that are not allowed.',
    'Use letters, digits, dot, dash and underscore.',
  ),
  INVALID_PATH: reason(
    'INVALID_ARGUMENT',
    'A path leaves the place it must stay in, or has forbidden components.',
    'Give a path inside the named pool or directory.',
  ),
  CONFIG_INVALID: reason(
    'INVALID_ARGUMENT',
    'The configuration file has an unknown key or a wrong value.',
    'Correct the named key; `limiquantix-node check-config` shows all of them.',
  ),
  CONFLICT: reason(
    'ABORTED',
    'The object is being changed by another operation, or differs from what was asked before under the same id.',
    'Wait for the other operation, or use another id.',
  ),
  AUDIT_UNAVAILABLE: reason(
    'UNAVAILABLE',
    'The audit log cannot be written, and audit.required refuses changes that are not recorded.',
    'Free space in the file system of the audit log; the message names its directory.',
  ),
  AUDIT_BROKEN: reason(
    'DATA_LOSS',
    'The audit log was changed, or lines of it are missing; the output names each place.',
    'Compare with a copy of the log elsewhere; find out who writes to its directory.',
  ),
  ROUTE_UNKNOWN: reason('NOT_FOUND', 'No such HTTP route.', 'See /api/v1/openapi.json.'),
  ORIGIN_REFUSED: reason(
    'PERMISSION_DENIED',
    'A web page of another origin sent the request.',
    'Call the API from a program, or from a page that this agent serves.',
  ),
  BODY_TOO_LARGE: reason(
    'RESOURCE_EXHAUSTED',
    'The request body is larger than the route accepts.',
    'Send a smaller body.',
  ),
  STATE_CORRUPT: reason(
    'DATA_LOSS',
    'A file of the state directory cannot be read back.',
    'The file is kept aside with the suffix .corrupt; restore it or let the agent discover the object again.',
  ),
  STATE_NOT_WRITABLE: reason(
    'UNAVAILABLE',
    'The agent cannot write down its state, for example because the disk of the state directory is full; nothing was begun that it could not remember.',
    'Free space below paths.state_dir or repair its file system, then retry.',
  ),
  STATE_DIR_BUSY: reason(
    'FAILED_PRECONDITION',
    'Another agent uses the same state directory.',
    'Stop the other agent, or give this one its own paths.state_dir.',
  ),
  USAGE: reason('INVALID_ARGUMENT', 'A command line is wrong.', 'See `limiquantix-node help`.'),
  AGENT_UNREACHABLE: reason(
    'UNAVAILABLE',
    'A command found no running agent at its socket.',
    'Run it as root; look at `systemctl status limiquantix-node`; name another socket with --socket.',
  ),
  AGENT_REFUSED: reason(
    'FAILED_PRECONDITION',
    'The running agent refused what a command asked for; the message has its words and reason.',
    'Look up the reason in brackets.',
  ),
  LISTEN_FAILED: reason(
    'FAILED_PRECONDITION',
    'A listener address is in use or cannot be bound.',
    'Free the address or configure another one.',
  ),
  COMMAND_FAILED: reason(
    'INTERNAL',
    'A host tool ended with an error.',
    'The message has its exit code and the end of its output.',
  ),
  COMMAND_STUCK: reason(
    'UNAVAILABLE',
    'A host tool hangs in the kernel and cannot be killed.',
    'Repair or unmount the file system it works on; the process ends then.',
  ),
  COMMAND_MISSING: reason(
    'FAILED_PRECONDITION',
    'A host tool is not installed.',
    'Install the Debian package named in the message.',
  ),
  WORKER_DIED: reason(
    'UNAVAILABLE',
    'A helper process ended before it answered.',
    'The agent starts another one; retry.',
  ),
  WORKER_STUCK: reason(
    'UNAVAILABLE',
    'A helper process is stuck in the kernel on a dead file system.',
    'Repair or unmount the file system.',
  ),
  // libvirt
  LIBVIRT_UNAVAILABLE: reason(
    'UNAVAILABLE',
    'The agent has no connection to libvirt.',
    'Look at `systemctl status libvirtd` (or virtqemud); the agent reconnects by itself.',
  ),
  LIBVIRT_TIMEOUT: reason(
    'DEADLINE_EXCEEDED',
    'libvirt did not answer before the deadline.',
    'Look for a hung guest or storage; the state is read again before anything is repeated.',
  ),
  LIBVIRT_OUTCOME_UNKNOWN: reason(
    'UNAVAILABLE',
    'The connection to libvirt broke in the middle of a call, so it may or may not have been carried out.',
    'Read the state of the VM, then repeat if needed.',
  ),
  LIBVIRT_REFUSED: reason(
    'INTERNAL',
    'libvirt refused a call; the message has its own words.',
    'Follow the message of libvirt.',
  ),
  // VMs
  VM_NOT_FOUND: reason('NOT_FOUND', 'libvirt says that there is no such domain.', 'Check the VM id.'),
  VM_NAME_TAKEN: reason(
    'FAILED_PRECONDITION',
    'Another domain on this host has the same name under another id.',
    'Choose another name or delete the other VM.',
  ),
  VM_DIFFERENT: reason(
    'FAILED_PRECONDITION',
    'A VM with this id is here with another specification.',
    'Use another id, or delete the VM first.',
  ),
  VM_SPEC_INVALID: reason(
    'INVALID_ARGUMENT',
    'The VM specification is not usable; the message names the field.',
    'Correct the field.',
  ),
  VM_RUNS_ELSEWHERE: reason(
    'FAILED_PRECONDITION',
    'Another host holds the VM, or writes to its disks: the message says which one, since when, and what shows that it may be in use there.',
    'Stop it there, or migrate it. When that host is gone for good and the message allows it, start the VM with takeOver.',
  ),
  HOST_LACKS_FEATURE: reason(
    'FAILED_PRECONDITION',
    'The VM asks for something that this host cannot give: huge pages, UEFI, Secure Boot, a TPM, SPICE or a CPU model. The message names it.',
    'Install or set up what the message says, create the VM on another host, or ask without it.',
  ),
  CONSOLE_OFF: reason(
    'FAILED_PRECONDITION',
    'The VM does not run, so it has no console.',
    'Start it; what it last wrote to its serial port is in its console log.',
  ),
  CONSOLE_ABSENT: reason(
    'FAILED_PRECONDITION',
    'The VM has no console of the wanted kind, for example only a SPICE display.',
    'Use the other kind of console, or add one to the definition of the VM.',
  ),
  CONSOLE_LIMIT: reason(
    'RESOURCE_EXHAUSTED',
    'The VM or the host has as many open console connections as are allowed.',
    'Close one; connections that were asked for and never made end by themselves.',
  ),
  CONSOLE_BUSY: reason(
    'FAILED_PRECONDITION',
    'Somebody else has the serial console of the VM; libvirt gives it to one at a time.',
    'Ask with `force` to take it over; the other connection ends then.',
  ),
  TICKET_INVALID: reason(
    'UNAUTHENTICATED',
    'The ticket for a console is unknown, used up, older than 30 s, or that of another VM.',
    'Get another one: POST /api/v1/vms/<id>/console/tickets.',
  ),
  UPGRADE_REQUIRED: reason(
    'INVALID_ARGUMENT',
    'The route is served over WebSocket only, and the request asks for no upgrade.',
    'Use a WebSocket client; proxies on the way have to pass the headers Connection and Upgrade on.',
  ),
  CONSOLE_UNAVAILABLE: reason(
    'UNAVAILABLE',
    'No console connection can be offered: no port of console.relay_ports is free, the management address is not known, or the display does not answer.',
    'Widen console.relay_ports, or set node.management_ip to an address of this host.',
  ),
  VM_STATE_CONFLICT: reason(
    'FAILED_PRECONDITION',
    'The VM is not in a state in which the operation makes sense.',
    'Bring the VM into the named state first.',
  ),
  VM_NOT_MANAGED: reason(
    'FAILED_PRECONDITION',
    'The domain was not made by this agent, which therefore does not change its devices.',
    'Change it with the tool it was made with.',
  ),
  DISK_NOT_FOUND: reason('NOT_FOUND', 'The VM has no such disk.', 'Name one of the disks that the VM lists.'),
  NIC_NOT_FOUND: reason('NOT_FOUND', 'The VM has no such NIC.', 'Name a NIC of the VM by its id or MAC address.'),
  HOTPLUG_UNSUPPORTED: reason(
    'FAILED_PRECONDITION',
    'A device of this kind cannot be added while the VM runs, or the VM has no free place for it.',
    'Add it while the VM is off, or use a virtio or SCSI disk.',
  ),
  DETACH_TIMEOUT: reason(
    'DEADLINE_EXCEEDED',
    'The guest was asked to let a device go and did not in time; the device stays attached.',
    'Repeat it when the guest is up and does not use the device, or while the VM is off.',
  ),
  DETACH_REFUSED: reason(
    'FAILED_PRECONDITION',
    'The guest refused to let a device go; the device stays attached.',
    'End its use in the guest, then repeat.',
  ),
  CDROM_NOT_FOUND: reason(
    'NOT_FOUND',
    'The VM has no such CD-ROM drive, or the named one holds its cloud-init seed.',
    'Name one of the drives that the message lists.',
  ),
  AGENT_ISO_MISSING: reason(
    'FAILED_PRECONDITION',
    'No ISO with guest agents is configured or found among the images of this host.',
    'Set `hypervisor.agent_iso`, or put `virtio-win.iso` or `quantix-kvm-agent-tools-<version>.iso` into the `iso` directory of a pool.',
  ),
  CDROM_LOCKED: reason(
    'FAILED_PRECONDITION',
    'The guest has locked the tray of the CD-ROM drive, and the request forbids to force it open.',
    'Unmount the medium in the guest, or allow force.',
  ),
  VM_STOP_TIMEOUT: reason(
    'DEADLINE_EXCEEDED',
    'The guest did not shut down before the timeout; it is still running.',
    'Use ForceStopVM, or give it more time.',
  ),
  BACKING_FILE_MISSING: reason(
    'FAILED_PRECONDITION',
    'The backing image of a disk is not there.',
    'Download the image to this host first.',
  ),
  BACKING_FILE_REFUSED: reason(
    'FAILED_PRECONDITION',
    'The backing image is not a plain image that the agent trusts.',
    'Use an image that was downloaded and verified by the agent.',
  ),
  DISK_FILE_FOREIGN: reason(
    'FAILED_PRECONDITION',
    'A file is in the place of a new disk and was not made by the agent for this VM.',
    'Move the file away or use another disk id.',
  ),
  OVS_ABSENT: reason(
    'UNIMPLEMENTED',
    'Open vSwitch is not installed on this host, which therefore has no ports of it.',
    'Install the package openvswitch-switch, or use bridges and libvirt networks.',
  ),
  OVS_UNAVAILABLE: reason(
    'UNAVAILABLE',
    'The database of Open vSwitch does not answer.',
    'Start ovsdb-server, then retry.',
  ),
  OVN_MISSING: reason(
    'FAILED_PRECONDITION',
    'The port is to be protected by OVN, and ovn-controller is not connected on this host.',
    'Connect ovn-controller, or ask for a port without security.',
  ),
  NETWORK_PORT_NOT_FOUND: reason(
    'NOT_FOUND',
    'No network port with this id was configured on this host.',
    'List the ports.',
  ),
  NETWORK_UNKNOWN: reason(
    'FAILED_PRECONDITION',
    'No libvirt network or bridge of this host fits the NIC or port.',
    'Create the network, or map it in the configuration.',
  ),
  CLOUD_INIT_INVALID: reason(
    'INVALID_ARGUMENT',
    'A cloud-init document cannot be parsed or is not a mapping.',
    'Correct the named document.',
  ),
  GUEST_AGENT_UNAVAILABLE: reason(
    'UNAVAILABLE',
    'The QEMU guest agent in the VM does not answer.',
    'Install and start qemu-guest-agent in the guest, or wait for its boot.',
  ),
  GUEST_AGENT_REFUSED: reason(
    'FAILED_PRECONDITION',
    'The QEMU guest agent answered a command with an error.',
    'See the message of the agent; the command may be disabled in the guest.',
  ),
  GUEST_NOT_QUIESCED: reason(
    'FAILED_PRECONDITION',
    'The guest did not stand still for as long as its disks were being kept; nothing was kept.',
    'Take the snapshot when the guest is less busy, or without quiesce.',
  ),
  LOG_UNREADABLE: reason(
    'INTERNAL',
    "A log file of this host cannot be read; the message has the system's words.",
    'Look at the mode and kind of the named file.',
  ),
  // storage
  POOL_NOT_FOUND: reason(
    'NOT_FOUND',
    'No pool with this id is known to the agent or found on the host.',
    'Initialise the pool.',
  ),
  POOL_TYPE_UNSUPPORTED: reason(
    'INVALID_ARGUMENT',
    'The pool type is missing or has no backend in this version.',
    'Use a supported type.',
  ),
  POOL_CONFIG_INVALID: reason(
    'INVALID_ARGUMENT',
    'A field of the pool configuration is missing or wrong.',
    'Correct the named field.',
  ),
  POOL_CONFIG_CHANGED: reason(
    'FAILED_PRECONDITION',
    'The pool is active with another configuration.',
    'Destroy the pool first, or use another pool id.',
  ),
  POOL_PATH_MISSING: reason(
    'FAILED_PRECONDITION',
    'The directory of the pool is gone.',
    'Mount or restore it; the agent does not create it again over a lost mount.',
  ),
  POOL_IDENTITY_MISMATCH: reason(
    'FAILED_PRECONDITION',
    'What is at the path of the pool is not the storage that was initialised there.',
    'Look at the marker file and at what is mounted there.',
  ),
  POOL_UNAVAILABLE: reason(
    'UNAVAILABLE',
    'The pool does not answer at the moment.',
    'See its health reason; it is probed every 10 seconds.',
  ),
  POOL_IN_USE: reason(
    'FAILED_PRECONDITION',
    'Domains, jobs or open files use the pool.',
    'Stop the named users first.',
  ),
  POOL_NOT_WRITABLE: reason(
    'PERMISSION_DENIED',
    'The agent may not write in the pool.',
    'Check permissions and mount options.',
  ),
  POOL_NOT_MOUNTED: reason(
    'UNAVAILABLE',
    'Nothing is mounted at the mount point of the pool.',
    'The agent mounts it at its next look; the message of the pool says what keeps it from that.',
  ),
  POOL_STALE: reason(
    'UNAVAILABLE',
    'The server no longer knows the mounted directory (ESTALE): it was removed, replaced or exported anew.',
    'Stop the named users; the agent mounts the pool anew as soon as nothing uses it.',
  ),
  MOUNT_FOREIGN: reason(
    'FAILED_PRECONDITION',
    'Something else is mounted at the mount point: another server, export, file system type or essential option.',
    'Unmount it, or correct the configuration of the pool.',
  ),
  MOUNT_POINT_NOT_EMPTY: reason(
    'FAILED_PRECONDITION',
    'The mount point has content of its own, which the mount would hide.',
    'Move the content away, or use another mount point.',
  ),
  MOUNT_FAILED: reason(
    'INTERNAL',
    'The mount failed for a cause the agent has no name for.',
    'See the words of mount(8) in the message, and the kernel log.',
  ),
  MOUNT_OPTION_REFUSED: reason(
    'INVALID_ARGUMENT',
    'The kernel, the mount helper or the server does not support a mount option or protocol version.',
    'Correct version and options of the pool.',
  ),
  SERVER_NOT_ANSWERING: reason(
    'UNAVAILABLE',
    'The storage server cannot be reached, or accepts requests and does not answer them.',
    'Check the server and the network; the pool comes back by itself.',
  ),
  POOL_DATA_FOREIGN: reason(
    'FAILED_PRECONDITION',
    'The disk, volume group or Ceph pool carries data that the agent did not make, or belongs to another pool.',
    'Look at what is on it. The agent never formats it: wipe it yourself if it may go, or configure the right one.',
  ),
  DEVICE_MISSING: reason(
    'FAILED_PRECONDITION',
    'A disk, LUN or volume group of the pool is not on this host.',
    'Check the cabling, the LUN and the name.',
  ),
  POOL_NOT_ACTIVE: reason(
    'UNAVAILABLE',
    'A logical volume of the pool is not active on this host.',
    'The agent activates it at its next look; the message of the pool says what keeps it from that.',
  ),
  TARGET_UNKNOWN: reason(
    'FAILED_PRECONDITION',
    'The iSCSI portal answers, but has no target with that name for this host.',
    'Check the target name, and that the target admits this initiator.',
  ),
  LOGIN_DENIED: reason(
    'PERMISSION_DENIED',
    'The storage server refuses the credentials: CHAP user or password, Ceph user or key.',
    'Correct the credentials.',
  ),
  LOGIN_FAILED: reason(
    'FAILED_PRECONDITION',
    'The initiator of this host (open-iscsi) could not log in to the target; the message has its words.',
    'Look at the named cause and at the journal of iscsid.',
  ),
  CEPH_POOL_MISSING: reason(
    'FAILED_PRECONDITION',
    'The Ceph cluster has no such pool, namespace or file system, or does not show it to this user.',
    'Check the name and the capabilities of the user.',
  ),
  CEPH_NAMESPACE_UNSUPPORTED: reason(
    'FAILED_PRECONDITION',
    'The libvirt of this host cannot give guests Ceph images that are in a namespace.',
    'Use a pool without a namespace for VM disks, or a libvirt that knows namespaces.',
  ),
  SERVER_UNKNOWN: reason(
    'UNAVAILABLE',
    'The name of the storage server has no address.',
    'Correct the name, or the name resolution of this host.',
  ),
  EXPORT_MISSING: reason(
    'FAILED_PRECONDITION',
    'The server does not have the named export or path.',
    'Correct the path, or export it on the server.',
  ),
  EXPORT_DENIED: reason(
    'PERMISSION_DENIED',
    'The server does not let this host use the export.',
    'Allow the address of this host in the export on the server.',
  ),
  POOL_PATH_CONFLICT: reason(
    'FAILED_PRECONDITION',
    'Another pool uses the same place.',
    'Give each pool its own directory.',
  ),
  POOL_FULL: reason(
    'RESOURCE_EXHAUSTED',
    'The pool has less free space than needed; the message has the numbers.',
    'Free or add space.',
  ),
  POOL_IO_ERROR: reason(
    'INTERNAL',
    'The file system of the pool answered with an error.',
    'See the errno in the message and the kernel log.',
  ),
  FILE_NOT_FOUND: reason('NOT_FOUND', 'The path is missing in the pool.', 'List the parent directory.'),
  FILE_NOT_DIRECTORY: reason('FAILED_PRECONDITION', 'The path is not a directory.', 'Give the path of a directory.'),
  FILE_NOT_REGULAR: reason(
    'FAILED_PRECONDITION',
    'The path is a directory, a symbolic link or a special file, and has no content to send.',
    'Give the path of a file.',
  ),
  FILE_CONFLICT: reason(
    'FAILED_PRECONDITION',
    'Something is in the place of the new name. Nothing is ever replaced.',
    'Choose another name, or delete what is there first.',
  ),
  FILE_IN_USE: reason(
    'FAILED_PRECONDITION',
    'A volume, VM, job or process uses the file; the message names them.',
    'Delete the volume, detach the disk or ISO, or end the process first.',
  ),
  FILE_CHANGED: reason(
    'ABORTED',
    'The file was changed or replaced while it was being read.',
    'Begin again; the disk of a running guest changes all the time.',
  ),
  RANGE_NOT_SATISFIABLE: reason(
    'OUT_OF_RANGE',
    'The asked range of bytes begins behind the end of the file.',
    'Ask for the size first (HEAD).',
  ),
  DIRECTORY_NOT_EMPTY: reason(
    'FAILED_PRECONDITION',
    'The directory still has entries. Nothing is ever deleted recursively.',
    'Delete what is in it first.',
  ),
  LISTING_TOO_LARGE: reason(
    'RESOURCE_EXHAUSTED',
    'The directory has more entries than one answer may carry.',
    'Use the paged HTTP route.',
  ),
  VOLUME_NOT_FOUND: reason('NOT_FOUND', 'The volume is missing in the pool.', 'Check the volume id.'),
  VOLUME_CONFLICT: reason(
    'FAILED_PRECONDITION',
    'A volume with this id is there with other properties.',
    'Use another id.',
  ),
  VOLUME_IN_USE: reason('FAILED_PRECONDITION', 'A VM or another volume uses the volume.', 'Detach it first.'),
  DISK_AMBIGUOUS: reason(
    'FAILED_PRECONDITION',
    'Disks of several VMs have this id.',
    'Name the pool and the volume of the disk.',
  ),
  MIGRATION_REFUSED: reason(
    'FAILED_PRECONDITION',
    'The VM cannot be moved to that host as things are. Nothing was changed.',
    'The message lists every obstacle: remove them, or choose another host.',
  ),
  MIGRATION_FAILED: reason(
    'ABORTED',
    'The migration ended early; the VM is on the host where it was.',
    'The message says why: mend that and migrate again.',
  ),
  MIGRATION_SPLIT: reason(
    'DATA_LOSS',
    'A migration broke off after the switch (post-copy): the guest stands still at the target, and the rest of its memory is at the source, or was lost with the QEMU there.',
    'To give that memory up: force it off at the source first, unless it is off or gone there, then force it off at the target and start it there, then `virsh undefine` it at the source, which refuses all else until then. To go on at the source: force it off on both hosts, and start it there with takeOver.',
  ),
  MIGRATION_NOT_EXPECTED: reason(
    'PERMISSION_DENIED',
    'A host wants to send a VM that nobody announced here.',
    'Call PrepareMigration and ReceiveMigration on this host first, or set `migration.accept_unannounced`.',
  ),
  MIGRATION_PEER_UNAVAILABLE: reason(
    'UNAVAILABLE',
    'The agent of the other host cannot be reached, or does not answer as one.',
    'Check its address and listener, `allow_from` there, and certificates.',
  ),
  SNAPSHOT_NOT_FOUND: reason(
    'NOT_FOUND',
    'The volume or VM has no such snapshot.',
    'List the snapshots of the volume or VM.',
  ),
  BACKUP_NOT_FOUND: reason('NOT_FOUND', 'The VM has no such backup.', 'List the backups of the VM.'),
  DISK_MOVE_REFUSED: reason(
    'FAILED_PRECONDITION',
    'The disk cannot be moved to another pool as things are; the message names what is in the way. Nothing was changed.',
    'Remove what the message names, then move it again.',
  ),
  DISK_MOVE_FAILED: reason(
    'ABORTED',
    'The copy of a disk ended early; the VM is on its old disk, and nothing is left in the other pool.',
    'Look at the space and health of the other pool and the log of the VM, then move it again.',
  ),
  BACKUP_UNSUPPORTED: reason(
    'FAILED_PRECONDITION',
    'The VM or the pool is of a kind that this backup cannot be made of or in; the message says which and what can be done instead.',
    'Use qcow2 disks and a pool with qcow2 volumes; a full backup is possible where an incremental one is not.',
  ),
  BACKUP_FAILED: reason(
    'UNAVAILABLE',
    'The backup ended before it was whole; nothing of it is left, and the next one holds what it would have held.',
    'Look at the space of the pool and the log of the VM, then repeat it.',
  ),
  BACKUP_IN_USE: reason(
    'FAILED_PRECONDITION',
    'A later backup holds only the changes since this one, or may, or QEMU still writes to it.',
    'Delete the later ones first; wait until it is made.',
  ),
  BACKUP_DAMAGED: reason(
    'DATA_LOSS',
    'A file of the backup, its manifest included, or what was restored from it, is not what it was when the backup was made; or another attempt left volumes under the name of one that is to be made.',
    'Restore another backup; look at the storage of the pool. Delete what is left of an attempt before the name is used again.',
  ),
  BACKUP_EXPORT_NOT_FOUND: reason(
    'NOT_FOUND',
    'The VM has no such export.',
    'List the exports of the VM; open a new one.',
  ),
  BACKUP_EXPORT_ENDED: reason(
    'FAILED_PRECONDITION',
    'The export ended before its reader had all of it: its time or the room in its pool was over, an I/O error stopped the guest, the VM was stopped, or it was given up.',
    'Open another one since the checkpoint of the last one that was complete, with more time or room (`poolId`).',
  ),
  DISK_CHAIN_BROKEN: reason(
    'FAILED_PRECONDITION',
    'A disk of the VM, or its part of a snapshot, is not what its definition says, or it cannot be told which of two volumes a disk that was being moved is; nothing was deleted because of that.',
    'Restore the named file, or delete the snapshot; of two volumes, keep the one that is right (docs/vms.md).',
  ),
  SNAPSHOT_IN_USE: reason(
    'FAILED_PRECONDITION',
    'Another volume was cloned from the snapshot and still needs it.',
    'Delete the named volumes first.',
  ),
  SNAPSHOT_UNSUPPORTED: reason(
    'FAILED_PRECONDITION',
    'Volumes of this format or pool type have no snapshots, or a VM with such disks.',
    'Clone the volume instead, or use file pools; the message says what stands in the way for a VM.',
  ),
  VOLUME_TOO_SMALL: reason(
    'INVALID_ARGUMENT',
    'The asked size is below what the content needs.',
    'Ask for at least the named size.',
  ),
  // images
  JOB_NOT_FOUND: reason('NOT_FOUND', 'No job with this id.', 'List the jobs.'),
  JOB_NOT_RETRYABLE: reason(
    'FAILED_PRECONDITION',
    'The job has not failed, or work of its kind is only repeated by whoever asked for it.',
    'Ask for the same thing again the way it was asked for first.',
  ),
  JOB_FINISHED: reason('FAILED_PRECONDITION', 'The job has ended and cannot be cancelled.', 'Nothing to do.'),
  TARGET_REFUSED: reason(
    'INVALID_ARGUMENT',
    'The target directory of a download is outside every allowed place.',
    'Use a directory inside the pool or an allowed base directory.',
  ),
  SOURCE_NOT_FOUND: reason(
    'INVALID_ARGUMENT',
    'The local file an image is to be made of is missing.',
    'Check the path.',
  ),
  SOURCE_REFUSED: reason(
    'INVALID_ARGUMENT',
    'The local file an image is to be made of is in no known pool and below no allowed directory, or is no regular file.',
    'Put it into a pool or below downloads.allowed_dirs.',
  ),
  UPLOAD_NOT_FOUND: reason('NOT_FOUND', 'No upload with this id.', 'Begin one with POST /api/v1/images/uploads.'),
  UPLOAD_OFFSET: reason(
    'FAILED_PRECONDITION',
    'A piece of an upload does not begin where the one before ended.',
    'Ask for the offset (GET or HEAD of the upload) and go on from there.',
  ),
  UPLOAD_INCOMPLETE: reason(
    'FAILED_PRECONDITION',
    'The upload was finished before all of its bytes were there, or ended too early.',
    'Ask for the offset, send the rest, finish then.',
  ),
  URL_REFUSED: reason(
    'PERMISSION_DENIED',
    'The URL points to a scheme or address that the agent does not fetch from.',
    'Use http or https to a public host, or set downloads.allow_private_addresses in a closed network.',
  ),
  CHECKSUM_INVALID: reason(
    'INVALID_ARGUMENT',
    'The given checksum is neither sha256 nor sha512.',
    'Give 64 or 128 hexadecimal digits, with or without the prefix.',
  ),
  CHECKSUM_MISMATCH: reason(
    'DATA_LOSS',
    'The bytes that arrived are not those the checksum was made of.',
    'Check the checksum and the source; nothing was kept.',
  ),
  PROOF_REQUIRED: reason(
    'FAILED_PRECONDITION',
    'The pool takes only images with a checksum or a signature, and the request has none.',
    'Give checksum, or checksumUrl of signed sums; or change images.require.',
  ),
  SUMS_UNUSABLE: reason(
    'FAILED_PRECONDITION',
    'The sums file has no entry for the image, or entries that contradict each other; the message says which name was looked for.',
    'Open checksumUrl and compare the names; give the digest itself as checksum.',
  ),
  SIGNATURE_INVALID: reason(
    'FAILED_PRECONDITION',
    'The sums file has no valid signature of a key in images.keyrings_dir.',
    'Check the publisher; put its public key into the directory.',
  ),
  WRAPPER_DAMAGED: reason(
    'DATA_LOSS',
    'The compressed file or archive cannot be read to its end.',
    'Fetch it again; compare its checksum.',
  ),
  WRAPPER_AMBIGUOUS: reason(
    'INVALID_ARGUMENT',
    'The archive has no disk image in it, or more than one; the message names them.',
    'Unpack it and give the one image.',
  ),
  WRAPPER_TOO_LARGE: reason(
    'RESOURCE_EXHAUSTED',
    'What is inside the compressed file or archive is larger than allowed or nested too deep.',
    'Unpack it elsewhere and look at it.',
  ),
  IMAGE_CHANGED: reason(
    'FAILED_PRECONDITION',
    'The file is no longer the image that was downloaded and verified.',
    'Download it again under another name; find out who wrote to it. If the change is wanted, remove the manifest .<file>.lqx.json beside it.',
  ),
  DOWNLOAD_HTTP_STATUS: reason('UNAVAILABLE', 'The server answered with an error status.', 'Check the URL.'),
  DOWNLOAD_CONNECT: reason(
    'UNAVAILABLE',
    'The server cannot be reached, or the connection broke.',
    'Check the network, proxy and URL.',
  ),
  DOWNLOAD_TRUNCATED: reason(
    'UNAVAILABLE',
    'The stream ended before the announced length.',
    'Retry; look at proxies on the way.',
  ),
  DOWNLOAD_STALLED: reason(
    'DEADLINE_EXCEEDED',
    'No byte arrived, or none became durable, for the stall time.',
    'Check the server and the pool.',
  ),
  CATALOG_UNKNOWN: reason(
    'NOT_FOUND',
    'A download names a catalog image that is neither built in nor in a file of images.catalog_dir, and gives no URL.',
    'See GET /api/v1/images/catalog; add an entry, or give the URL.',
  ),
  LEASE_LOST: reason(
    'ABORTED',
    'Another host of a shared pool took over the download of an image, because this one gave no sign of life.',
    'Nothing to do: the job follows the other host. Look at the storage network when it happens often.',
  ),
  IMAGE_NOT_FOUND: reason(
    'NOT_FOUND',
    'No image with this id is on this host, or the place it is in does not answer.',
    'List the images; `POST /api/v1/images/scan` looks for new ones.',
  ),
  IMAGE_IN_USE: reason(
    'FAILED_PRECONDITION',
    'VMs, volumes or jobs stand on the image; the message names them.',
    'Delete or detach them first, or keep the image.',
  ),
  DOWNLOAD_RANGE: reason(
    'UNAVAILABLE',
    'The server was asked for a part of the content and sent other bytes.',
    'Look at proxies on the way; give a mirror.',
  ),
  DOWNLOAD_CHANGED: reason(
    'ABORTED',
    'The content behind the URL changed while it was fetched, more than once, or a mirror has another content.',
    'Use a URL whose content stays; remove the mirror that differs.',
  ),
  IMAGE_NOT_AN_IMAGE: reason(
    'INVALID_ARGUMENT',
    'What arrived is not a disk image, for example a web page, or of a format that is not taken in that place.',
    'Check the URL; `details.refusal` has the cause, docs/images.md the remedy for each.',
  ),
  IMAGE_REFUSED: reason(
    'INVALID_ARGUMENT',
    'The image is incomplete, or has features that are not allowed, such as a backing file.',
    'Use a plain image; `details.refusal` has the cause, docs/images.md the remedy for each.',
  ),
  IMAGE_CONFLICT: reason(
    'FAILED_PRECONDITION',
    'Another file is in the place of the image.',
    'Move it away or use another file name.',
  ),
  // control plane
  CONTROL_PLANE_UNAVAILABLE: reason(
    'UNAVAILABLE',
    'The control plane does not answer.',
    'The agent goes on and tries again.',
  ),
  CONTROL_PLANE_REFUSED: reason(
    'FAILED_PRECONDITION',
    'The control plane refused a request; the message has its words.',
    'See the log of the control plane.',
  ),
  CONTROL_PLANE_BAD_ANSWER: reason(
    'UNAVAILABLE',
    'What answers at the address of the control plane does not speak its protocol, for example a proxy or a web page.',
    'Check control_plane.address and the proxies on the way; the agent tries again.',
  ),
  TOKEN_MISSING: reason(
    'NOT_FOUND',
    'No registration token was made on this host.',
    'Run `limiquantix-node token` on the host.',
  ),
  TOKEN_INVALID: reason(
    'UNAUTHENTICATED',
    'The registration token is not that of this host, was used up, or is missing in the request.',
    'Compare it; `limiquantix-node token` makes another one.',
  ),
  TOKEN_EXPIRED: reason(
    'UNAUTHENTICATED',
    'The hour of the registration token is over.',
    'Run `limiquantix-node token` on the host for another one.',
  ),
  TOKEN_ATTEMPTS: reason(
    'RESOURCE_EXHAUSTED',
    'Wrong registration tokens were presented too often.',
    'Wait as long as the message says; each further wrong one doubles that, up to 5 minutes.',
  ),
  LOCAL_ONLY: reason(
    'PERMISSION_DENIED',
    'The request is served only on the unix socket of the agent, which root alone can reach.',
    'Use the command `limiquantix-node` on the host.',
  ),
  JOIN_CONFLICT: reason(
    'FAILED_PRECONDITION',
    'The host belongs to another control plane, or its configuration file decides that.',
    'Run `limiquantix-node leave` first, or change control_plane in the file and restart the agent.',
  ),
  CERTIFICATE_INVALID: reason(
    'INVALID_ARGUMENT',
    'A certificate, private key or list of authorities cannot be used; the message says which and why.',
    'Give PEM: the own certificate first, each followed by its issuer, and the private key of the first without a passphrase.',
  ),
  CERTIFICATE_EXPIRED: reason(
    'FAILED_PRECONDITION',
    'A certificate is not good yet, or not any more.',
    'Get another one; compare the clocks of the hosts.',
  ),
  CERTIFICATE_MISSING: reason(
    'FAILED_PRECONDITION',
    'A TLS listener has no certificate or no private key.',
    'Put both where server.http.tls.cert_path and key_path point, or choose the mode self-signed.',
  ),
  ACME_OFF: reason(
    'FAILED_PRECONDITION',
    'The configuration does not let the agent ask an ACME server for certificates.',
    'Set server.http.tls.mode to acme, or server.http.tls.acme.enabled.',
  ),
  ACME_UNAVAILABLE: reason(
    'UNAVAILABLE',
    'The ACME server does not answer, or what answers does not speak ACME; the certificate in use stays.',
    'Check server.http.tls.acme.directory_url, ca_file and the network; the agent tries again by itself when it renews.',
  ),
  ACME_REFUSED: reason(
    'FAILED_PRECONDITION',
    'The ACME server refused the account or the certificate; the message has its words.',
    'The names must lead to this host, and the server must reach its port 80 (server.http.tls.redirect_port).',
  ),
  ENROLMENT_UNAVAILABLE: reason(
    'UNAVAILABLE',
    "The authority that is to sign the host's certificate cannot be reached, or does not answer as RFC 7030 has it; the certificate in use stays.",
    'Check its address, its certificate and the network. The agent repeats renewals by itself; repeat a join.',
  ),
  ENROLMENT_UNSUPPORTED: reason(
    'UNIMPLEMENTED',
    'What was asked for a certificate signs none: control planes of today do not.',
    'Name an EST server (--enrol-url), or join without --enrol and install a certificate by hand: limiquantix-node certificate request, certificate install.',
  ),
  ENROLMENT_REFUSED: reason(
    'PERMISSION_DENIED',
    'The authority does not sign a certificate for this host; the message has its words.',
    'Check the token (one-time, expiring). A certificate that has expired cannot renew itself: join again with --enrol.',
  ),
  ENROLMENT_PENDING: reason(
    'UNAVAILABLE',
    'The authority signs later, such as when somebody has approved; the key of the request is kept.',
    'Run the same command again.',
  ),
  ENROLMENT_BAD_ANSWER: reason(
    'FAILED_PRECONDITION',
    'The certificate that came back was not installed: it fits another key, other names, another authority or another time.',
    'Compare --ca or --ca-fingerprint with the authority, and what it signs with the names of the host.',
  ),
  CLIENT_CERTIFICATE_MISSING: reason(
    'UNAUTHENTICATED',
    'The caller showed no certificate that the authorities of the cluster signed.',
    'Connect with a client certificate of the authority in server.http.tls.ca_path.',
  ),
  CLIENT_CERTIFICATE_EXPIRED: reason(
    'UNAUTHENTICATED',
    'The certificate of the caller expired while its connection was open.',
    'Renew it and connect again.',
  ),
  SCOPE_MISSING: reason(
    'PERMISSION_DENIED',
    'The certificate of the caller does not have the scope that the call needs.',
    'Have a certificate signed that has it (docs/security.md).',
  ),
  SCOPE_UNKNOWN: reason(
    'PERMISSION_DENIED',
    'No scope allows the call: the agent does not know which one it would need.',
    'Use the unix socket on the host; report it, because every call should have a scope.',
  ),
  CERTIFICATE_NOT_WRITABLE: reason(
    'UNAVAILABLE',
    'The agent cannot write its certificate files; what was in use stays.',
    'Look at the directories of server.http.tls.cert_path and key_path.',
  ),
} as const satisfies Record<string, ReasonInfo>

/** A stable error reason: a key of the table above. */
export type Reason = keyof typeof REASONS
