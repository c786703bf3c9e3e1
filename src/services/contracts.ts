/**
 * The transport-neutral use cases. gRPC, HTTP and the CLI call only these; errors are AgentErrors. Every method takes the caller's signal: when it fires the
 * caller is gone, which ends waiting and reading but never cancels work that was begun.
 */
import type {
  ControlPlaneStatus,
  CreateVmRequest,
  DownloadJob,
  DownloadRequest,
  HealthSummary,
  HostFacts,
  HostLoad,
  HypervisorFacts,
  NodeEvent,
  PoolConfig,
  PoolFile,
  PoolInfo,
  VmInfo,
} from '../core/model.ts'

export interface HostService {
  /** From memory, without waiting for anything. */
  health(): HealthSummary
  facts(signal: AbortSignal): Promise<HostFacts>
  hypervisor(): HypervisorFacts
  load(): HostLoad
  /** Undefined when the agent is not to register anywhere. */
  controlPlane(): ControlPlaneStatus | undefined
  /** The agent's persistent id (not the control plane's node id). */
  nodeId(): string
  /** Ready = listeners up, recovery done. Depends on no pool and not on libvirt. `waitingFor` names what is not. */
  readiness(): { ready: boolean; waitingFor: readonly string[] }
}

export interface VmService {
  /** Returns when the VM is defined. The same request again is the same VM (`created: false`). */
  create(request: CreateVmRequest, signal: AbortSignal): Promise<{ vmId: string; created: boolean }>
  /** Success when it is running. */
  start(vmId: string, signal: AbortSignal): Promise<void>
  /** ACPI shutdown and wait; VM_STOP_TIMEOUT leaves it running. Success when it is off. */
  stop(vmId: string, timeoutSeconds: number, signal: AbortSignal): Promise<void>
  forceStop(vmId: string, signal: AbortSignal): Promise<void>
  reboot(vmId: string, signal: AbortSignal): Promise<void>
  pause(vmId: string, signal: AbortSignal): Promise<void>
  resume(vmId: string, signal: AbortSignal): Promise<void>
  /** Powers off, undefines, removes only volumes made for this VM. Success when it is gone. */
  delete(vmId: string, signal: AbortSignal): Promise<void>
  status(vmId: string, signal: AbortSignal): Promise<VmInfo>
  list(signal: AbortSignal): Promise<VmInfo[]>
  /** Events from now on until `signal` fires. */
  events(signal: AbortSignal): AsyncIterable<NodeEvent>
  /** Whether the QEMU guest agent answers (GET /vms/:id/qemu-agent/ping); only VM_NOT_FOUND and libvirt trouble are errors. */
  guestPing(vmId: string, signal: AbortSignal): Promise<{ available: boolean; error?: string }>
  /** Runs a program in the guest through the QEMU guest agent and waits for its end (POST /vms/:id/qemu-agent/exec). GUEST_AGENT_UNAVAILABLE. */
  guestExec(vmId: string, command: GuestCommand, signal: AbortSignal): Promise<GuestCommandResult>
}

/** A program in the guest: absolute path or name on the agent's PATH, arguments without a shell. */
export interface GuestCommand {
  readonly command: string
  readonly args: readonly string[]
  readonly timeoutMs: number
}

/** How a guest program ended. `timedOut`: it was still running at the deadline (it goes on in the guest). */
export interface GuestCommandResult {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
  readonly timedOut: boolean
}

export interface PoolService {
  /** Activates and persists; the same again is success. */
  init(config: PoolConfig, signal: AbortSignal): Promise<PoolInfo>
  /** POOL_IN_USE with the users while domains or jobs use it. */
  destroy(poolId: string, signal: AbortSignal): Promise<void>
  info(poolId: string, signal: AbortSignal): Promise<PoolInfo>
  list(signal: AbortSignal): Promise<PoolInfo[]>
  /** Entries of one directory: directories first, then by name, case-insensitive. `path` is relative; '' is the root. */
  files(poolId: string, path: string, signal: AbortSignal): Promise<PoolFile[]>
}

export interface ImageService {
  /** The job is persisted when this resolves; a verified image in its place gives a completed job. */
  download(request: DownloadRequest, signal: AbortSignal): Promise<DownloadJob>
  /** JOB_NOT_FOUND for an unknown id. */
  job(jobId: string): DownloadJob
  jobs(): DownloadJob[]
  cancel(jobId: string, signal: AbortSignal): Promise<void>
  /** The job now and at every change until it is final. */
  watch(jobId: string, signal: AbortSignal): AsyncIterable<DownloadJob>
}

/** What the transports serve. */
export interface Services {
  readonly host: HostService
  readonly vms: VmService
  readonly pools: PoolService
  readonly images: ImageService
}
