import type { OpContext } from '../core/context.ts'
import { AgentError, isAgentError } from '../core/errors.ts'
import { KeyedLock } from '../core/keyed-lock.ts'
import { run, type Command, type CommandResult } from '../platform/exec.ts'
import { cephFailure, clusterName, monitorText, readCephKey, type CephClient } from './ceph-client.ts'
import type { StoragePaths } from './environment.ts'
import { keyringBeside } from './rbd-name.ts'
import { SecretFile } from './secret-file.ts'

/** Longest wait for an answer of a tool that does little: a cluster that is well answers in a tenth of a second. */
const TOOL_TIMEOUT_MS = 30_000
/** What the tools themselves allow, in seconds, so that they say why they gave up. */
const CONNECT_TIMEOUT_S = 4
const ANSWER_TIMEOUT_S = 20
const PACKAGE = 'ceph-common'
/** Exit code 2 also says that an image is missing. */
const PLACE_MISSING = /error opening (?:default )?pool|namespace '[^']*' does not exist/
/** For times in the output, which have no zone. */
const ENVIRONMENT = { TZ: 'UTC' }

/** One run of a tool; `timeoutMs` defaults to 30 s. */
export interface CephCommand extends Pick<Command, 'args' | 'input' | 'okCodes'> {
  readonly tool: 'rbd' | 'rados' | 'ceph'
  readonly timeoutMs?: number
}

/**
 * The tools of Ceph as one pool uses them: with a configuration and a keyring of its own in the agent's private directory, so that neither keys nor the host's
 * configuration matter. After a cluster gave no answer, one tool at a time waits for it, so that a dead one gathers no processes.
 */
export class CephTools {
  readonly client: CephClient
  readonly #place: string
  readonly #configuration: SecretFile
  readonly #keyring: SecretFile
  readonly #locks = new KeyedLock()
  #silent = false

  /** `place` is what the pool uses of the cluster, for errors: `RBD pool rbd`. */
  constructor(client: CephClient, paths: StoragePaths, poolId: string, place: string) {
    this.client = client
    this.#place = place
    this.#configuration = new SecretFile(paths, `ceph-${poolId}.conf`)
    this.#keyring = new SecretFile(paths, keyringBeside(`ceph-${poolId}.conf`))
  }

  /** Configuration for rbd, rados and qemu-img; there between `prepare` and `discard`. */
  get configFile(): string {
    return this.#configuration.path
  }

  /** Writes the files, with the key as the keyring of the client has it now, and answers that key (base64). Errors: those of readCephKey. */
  async prepare({ signal }: OpContext): Promise<string> {
    const key = await readCephKey(this.client, signal)
    await this.#keyring.write(`[client.${this.client.user}]\n\tkey = ${key}\n`)
    await this.#configuration.write(configuration(this.client, this.#keyring.path))
    return key
  }

  /** Removes the files. */
  async discard(): Promise<void> {
    await this.#configuration.remove()
    await this.#keyring.remove()
  }

  /**
   * Runs a tool. Errors: LOGIN_DENIED, SERVER_NOT_ANSWERING, SERVER_UNKNOWN, CEPH_POOL_MISSING for what the user may not do, POOL_FULL, COMMAND_MISSING, and
   * COMMAND_FAILED with the exit code, which is an errno.
   */
  async run(command: CephCommand, signal: AbortSignal): Promise<CommandResult> {
    const timeoutMs = command.timeoutMs ?? TOOL_TIMEOUT_MS
    if (!this.#silent) return this.#ask(command, timeoutMs, signal)
    const waiting = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
    let release: () => void
    try {
      release = await this.#locks.acquire('silent', waiting)
    } catch (error) {
      signal.throwIfAborted()
      throw new AgentError('SERVER_NOT_ANSWERING', `${clusterName(this.client)} does not answer`, { cause: error })
    }
    try {
      return await this.#ask(command, timeoutMs, signal)
    } finally {
      release()
    }
  }

  /** An error of something else that used the configuration (qemu-img) as what it means. */
  translated(error: unknown): unknown {
    return failure(error, this.client)
  }

  async #ask(command: CephCommand, timeoutMs: number, signal: AbortSignal): Promise<CommandResult> {
    const { tool, args, input, okCodes } = command
    // rados would hide why it cannot connect behind its wish for settings of the monitors.
    const own = tool === 'rados' ? ['--no-mon-config'] : []
    const words = ['--conf', this.configFile, '--id', this.client.user, ...own, ...args]
    const options = {
      ...(input === undefined ? {} : { input }),
      ...(okCodes === undefined ? {} : { okCodes }),
    }
    try {
      const result = await run(
        { file: tool, package: PACKAGE, args: words, env: ENVIRONMENT, timeoutMs, ...options },
        signal,
      )
      this.#silent = false
      if (PLACE_MISSING.test(result.stderr)) throw this.#placeMissing()
      return result
    } catch (error) {
      if (isAgentError(error, 'COMMAND_FAILED') && PLACE_MISSING.test(error.message)) throw this.#placeMissing()
      const translated = failure(error, this.client)
      this.#silent = isAgentError(translated, 'SERVER_NOT_ANSWERING')
      throw translated
    }
  }

  #placeMissing(): AgentError {
    return new AgentError('CEPH_POOL_MISSING', `${clusterName(this.client)} has no ${this.#place}; check the name`)
  }
}

// A port that Ceph knows stands for both protocols: the one of each may be switched off.
function configuration(client: CephClient, keyring: string): string {
  const monitors = client.monitors.map((monitor) =>
    [6789, 3300].includes(monitor.port)
      ? monitorText({ ...monitor, port: 0 }).replace(/:0$/, '')
      : monitorText(monitor),
  )
  const ipv6 = client.monitors.some(({ host }) => host.includes(':'))
  return [
    '# Written by limiquantix-node for the tools of this host; guests do not use it.',
    '[global]',
    `mon_host = ${[...new Set(monitors)].join(',')}`,
    `keyring = ${keyring}`,
    ...(ipv6 ? ['ms_bind_ipv6 = true'] : []),
    `client_mount_timeout = ${CONNECT_TIMEOUT_S}`,
    `rados_mon_op_timeout = ${ANSWER_TIMEOUT_S}`,
    `rados_osd_op_timeout = ${ANSWER_TIMEOUT_S}`,
    'rbd_default_features = 61',
    'rbd_default_clone_format = 2',
    'log_file =',
    'admin_socket =',
    '',
  ].join('\n')
}

function failure(error: unknown, client: CephClient): unknown {
  if (!isAgentError(error, 'COMMAND_FAILED')) return cephFailure(error, client)
  const { message } = error
  if (/No space left on device|Disk quota exceeded/.test(message)) {
    return new AgentError('POOL_FULL', `${clusterName(client)} has no space left for the pool`, { cause: error })
  }
  // Logged in, but without the capability; a refused login says that it could not connect.
  if (/Operation not permitted/.test(message) && !/connect/.test(message)) {
    return new AgentError(
      'CEPH_POOL_MISSING',
      `${clusterName(client)} does not let client.${client.user} do that in the pool or namespace; check their names and the user's capabilities (profile rbd)`,
      { cause: error },
    )
  }
  return cephFailure(error, client)
}
