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
  VM_STATE_CONFLICT: reason(
    'FAILED_PRECONDITION',
    'The VM is not in a state in which the operation makes sense.',
    'Bring the VM into the named state first.',
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
  NETWORK_UNKNOWN: reason(
    'FAILED_PRECONDITION',
    'No libvirt network or bridge fits the NIC.',
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
  VOLUME_TOO_SMALL: reason(
    'INVALID_ARGUMENT',
    'The asked size is below what the content needs.',
    'Ask for at least the named size.',
  ),
  // images
  JOB_NOT_FOUND: reason('NOT_FOUND', 'No job with this id.', 'List the jobs.'),
  JOB_FINISHED: reason('FAILED_PRECONDITION', 'The job has ended and cannot be cancelled.', 'Nothing to do.'),
  TARGET_REFUSED: reason(
    'INVALID_ARGUMENT',
    'The target directory of a download is outside every allowed place.',
    'Use a directory inside the pool or an allowed base directory.',
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
  IMAGE_NOT_AN_IMAGE: reason(
    'INVALID_ARGUMENT',
    'What arrived is not a disk image, for example a web page.',
    'Check the URL.',
  ),
  IMAGE_REFUSED: reason(
    'INVALID_ARGUMENT',
    'The image has features that are not allowed, such as a backing file.',
    'Use a plain image.',
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
} as const satisfies Record<string, ReasonInfo>

/** A stable error reason: a key of the table above. */
export type Reason = keyof typeof REASONS
