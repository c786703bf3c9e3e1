import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { request } from 'node:http'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { NodeClient } from '../control-plane/node-client.ts'

/** What a command on a host left. */
export interface CommandResult {
  /** Exit code; 255 when the host could not be reached, -1 when the time was up. */
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** How to run a command on a host. */
export interface ExecOptions {
  /** Default 60 s; the command's connection is then closed. */
  readonly timeoutMs?: number
  readonly input?: string | Buffer
}

/** An answer of the agent's HTTP API; `body` is parsed JSON, or the text where it is none. */
export interface HttpAnswer<T> {
  readonly status: number
  readonly body: T
}

/** A storage server beside the hosts. Each call resolves when it is so. */
export interface StorageServer {
  start(): Promise<void>
  /** Asks it to end and waits: clients see their connections closed. */
  stop(): Promise<void>
  /** SIGKILL. */
  kill(): Promise<void>
  /** SIGSTOP: connections stay open and are accepted by the kernel, nothing answers. */
  freeze(): Promise<void>
  thaw(): Promise<void>
  /** Packets to it are lost, as with a pulled cable. */
  drop(): Promise<void>
  pass(): Promise<void>
}

/** `ceph` is made by its first start; its parts are for faults of one daemon, of which only `ceph-mon` can be dropped. */
export type ServerName = 'nfs' | 'iscsi' | 'ceph' | 'ceph-mon' | 'ceph-osd' | 'ceph-mds'

/** One rig: a hypervisor host that runs the packaged agent as a service, beside real storage servers. See docs/rig.md. */
export interface Rig {
  readonly directory: string
  /** Address of the storage servers, and of what `expose` offers, as the host sees it. */
  readonly serverAddress: string
  /** Where the NFS server's exports are on this side; the export `/pool1` is `<here>/pool1`. */
  readonly nfsExports: string
  /** Where the files of the Ceph cluster are on this side: `ceph.conf`, and `client.<user>.keyring` for the users in scripts/lib/ceph/users.list. */
  readonly cephFiles: string
  /** Runs a shell command on the host as root; resolves to its stdout, rejects with its stderr when it fails. */
  exec(command: string, options?: ExecOptions): Promise<string>
  /** The same, but resolves whatever the exit code is. */
  tryExec(command: string, options?: ExecOptions): Promise<CommandResult>
  /** Writes a file on the host, with the directories to it. */
  write(file: string, content: string | Buffer, mode?: string): Promise<void>
  /** The agent's gRPC API, by the rig's network. Close it; a client made while the agent is down connects later. */
  connect(): NodeClient
  /** The agent's HTTP API, by the rig's network. Rejects when nobody answers. */
  http<T = Record<string, unknown>>(method: string, url: string, body?: object): Promise<HttpAnswer<T>>
  server(name: ServerName): StorageServer
  /** All servers that were started are up, answering and reachable again, whatever a test left. */
  heal(): Promise<void>
  /** Makes the port of 127.0.0.1 on this side reachable for the host, at the `serverAddress` and the port that is returned. */
  expose(localPort: number): Promise<Exposed>
  /** Makes a TCP port of the host's own address reachable from here, as a unix socket. The host sees its caller at the `serverAddress`. */
  reach(port: number): Promise<Reached>
}

/** A port of this side inside the rig; disposing ends it, with its connections. */
export interface Exposed extends AsyncDisposable {
  readonly port: number
}

/** A port of the host out here; disposing ends it, with its connections. */
export interface Reached extends AsyncDisposable {
  readonly socketPath: string
}

const SCRIPT = path.join(import.meta.dirname, '..', '..', 'scripts', 'rig')
const SERVERS: readonly ServerName[] = ['nfs', 'iscsi', 'ceph']

/** The rig in `directory`, which is up; `host` counts from 0. */
export function rigAt(directory: string, host = 0): Rig {
  const rig = (...args: string[]) => run(SCRIPT, args, { timeoutMs: 120_000 })
  const must = async (...args: string[]) => {
    const { code, stderr } = await rig(...args)
    if (code !== 0) throw new Error(`rig ${args.join(' ')}: exit code ${code}\n${stderr}`)
  }
  const tryExec: Rig['tryExec'] = (command, options = {}) =>
    run(SCRIPT, ['ssh', directory, `${host}`, command], options)
  const exec: Rig['exec'] = async (command, options) => {
    const { code, stdout, stderr } = await tryExec(command, options)
    if (code !== 0) throw new Error(`${command}: exit code ${code}\n${stderr}`)
    return stdout
  }
  const socketOf = (name: string) => path.join(directory, `host${host}`, `${name}.sock`)
  return {
    directory,
    serverAddress: '10.99.0.1',
    nfsExports: path.join(directory, 'nfs', 'export'),
    cephFiles: path.join(directory, 'ceph'),
    exec,
    tryExec,
    write: async (file, content, mode = '0644') => {
      await exec(`install -D -m ${mode} /dev/stdin ${quote(file)}`, { input: content })
    },
    connect: () => new NodeClient(`unix:${socketOf('grpc')}`),
    http: (method, url, body) => httpOverSocket(socketOf('http'), method, url, body),
    server(name) {
      const command = (verb: string) => () => must('servers', directory, verb, name)
      return {
        start: command('start'),
        stop: command('stop'),
        kill: command('kill'),
        freeze: command('freeze'),
        thaw: command('thaw'),
        drop: command('drop'),
        pass: command('pass'),
      }
    },
    async heal() {
      await must('servers', directory, 'heal', ...SERVERS)
    },
    expose: (localPort) => expose(directory, localPort),
    async reach(port) {
      const socketPath = socketOf(`port-${port}`)
      const relay = await relayProcess(SCRIPT, [
        'relay',
        directory,
        `unix:${socketPath}`,
        `tcp:10.99.0.${host + 2}:${port}`,
      ])
      return { socketPath, [Symbol.asyncDispose]: relay.end }
    },
  }
}

/** One word for a shell, whatever is in it. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}

function run(
  file: string,
  args: readonly string[],
  { timeoutMs = 60_000, input }: ExecOptions,
): Promise<CommandResult> {
  return new Promise((resolve) => {
    const options = { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: 64 * 2 ** 20 } as const
    const child = execFile(file, [...args], options, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1
      resolve({
        code,
        stdout,
        stderr: code === -1 ? `${stderr}\n${error?.message} (time limit ${timeoutMs} ms)` : stderr,
      })
    })
    // A command that does not read its input is no failure of ours.
    child.stdin?.on('error', () => undefined).end(input ?? '')
  })
}

async function httpOverSocket<T>(
  socketPath: string,
  method: string,
  url: string,
  body?: object,
): Promise<HttpAnswer<T>> {
  const payload = body === undefined ? undefined : JSON.stringify(body)
  const headers = payload === undefined ? {} : { 'content-type': 'application/json' }
  const call = request({ socketPath, method, path: url, headers, signal: AbortSignal.timeout(120_000) })
  call.end(payload)
  const [answer] = await once(call, 'response')
  let text = ''
  for await (const chunk of answer.setEncoding('utf8')) text += chunk
  return { status: answer.statusCode, body: parsed(text) as T }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // Metrics, for example.
    return text
  }
}

// The network ends at the namespace, file descriptors do not: a relay inside listens, one out here passes on to loopback.
async function expose(directory: string, localPort: number): Promise<Exposed> {
  const meeting = path.join(directory, `exposed-${localPort}.sock`)
  const relay = path.join(import.meta.dirname, '..', '..', 'scripts', 'lib', 'rig', 'relay.ts')
  const outer = await relayProcess(process.execPath, [relay, `unix:${meeting}`, `tcp:127.0.0.1:${localPort}`])
  const inner = await relayProcess(SCRIPT, ['relay', directory, 'tcp:10.99.0.1:0', `unix:${meeting}`])
  const port = Number(/^tcp:.*:(\d+) ->/.exec(inner.listening)?.[1])
  return {
    port,
    async [Symbol.asyncDispose]() {
      await Promise.all([inner.end(), outer.end()])
    },
  }
}

async function relayProcess(file: string, args: readonly string[]) {
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  const [listening] = (await Promise.race([
    once(createInterface(child.stdout), 'line'),
    exited.then(([code]) => Promise.reject(new Error(`the relay ended with ${code}`))),
  ])) as [string]
  return {
    listening,
    end: async () => {
      child.kill('SIGKILL')
      await exited
    },
  }
}
