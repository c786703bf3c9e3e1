import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { freePort } from './free-port.ts'
import { httpsCall } from './https-call.ts'
import { TestAuthority } from './test-authority.ts'
import { until } from './until.ts'

/** Let's Encrypt's own test server with its DNS: every name leads to 127.0.0.1, and it asks for challenges at `httpPort`. */
export class Pebble implements AsyncDisposable {
  readonly directoryUrl: string
  /** PEM file that its API is believed by. */
  readonly caFile: string
  readonly httpPort: number
  readonly #directory: string
  readonly #processes: readonly ChildProcess[]
  readonly #authority: TestAuthority

  private constructor(
    ports: { readonly api: number; readonly http: number },
    directory: string,
    processes: readonly ChildProcess[],
    authority: TestAuthority,
  ) {
    this.directoryUrl = `https://localhost:${ports.api}/dir`
    this.caFile = path.join(directory, 'api-ca.crt')
    this.httpPort = ports.http
    this.#directory = directory
    this.#processes = processes
    this.#authority = authority
  }

  /** `validitySeconds` of the certificates that it issues; five years by default. */
  static async start(validitySeconds?: number): Promise<Pebble> {
    const directory = await mkdtemp(path.join(tmpdir(), 'lqx-pebble-'))
    const at = (file: string) => path.join(directory, file)
    const authority = await TestAuthority.create('pebble api')
    const { key, cert } = await authority.issue({ subject: '/CN=localhost' })
    const [api, management, http, tls, dns, dnsManagement] = [
      await freePort(),
      await freePort(),
      await freePort(),
      await freePort(),
      await freePort(),
      await freePort(),
    ]
    const pebble = {
      listenAddress: `127.0.0.1:${api}`,
      managementListenAddress: `127.0.0.1:${management}`,
      certificate: at('api.crt'),
      privateKey: at('api.key'),
      httpPort: http,
      tlsPort: tls,
      ocspResponderURL: '',
      externalAccountBindingRequired: false,
      ...(validitySeconds === undefined ? {} : { certificateValidityPeriod: validitySeconds }),
    }
    const files = {
      'api.crt': cert,
      'api.key': key,
      'api-ca.crt': authority.cert,
      'pebble.json': JSON.stringify({ pebble }),
    }
    for (const [file, text] of Object.entries(files)) await writeFile(at(file), text)
    const dnsArguments = ['-dns01', `127.0.0.1:${dns}`, '-management', `127.0.0.1:${dnsManagement}`]
    const off = ['-http01', '', '-https01', '', '-tlsalpn01', '', '-defaultIPv4', '127.0.0.1', '-defaultIPv6', '']
    const start = (program: string, args: string[]) =>
      spawn(program, args, {
        stdio: 'ignore',
        env: { ...process.env, PEBBLE_VA_NOSLEEP: '1', PEBBLE_WFE_NONCEREJECT: '30' },
      })
    const processes = [
      start('pebble-challtestsrv', [...dnsArguments, ...off]),
      start('pebble', ['-config', at('pebble.json'), '-dnsserver', `127.0.0.1:${dns}`, '-strict']),
    ]
    const started = new Pebble({ api, http }, directory, processes, authority)
    await until(() =>
      httpsCall(started.directoryUrl, { ca: authority.cert }).then(
        () => true,
        () => false,
      ),
    )
    return started
  }

  /** Takes connections and answers nothing until the returned function is called. */
  freeze(): () => void {
    for (const child of this.#processes) child.kill('SIGSTOP')
    return () => {
      for (const child of this.#processes) child.kill('SIGCONT')
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#processes) {
      child.kill('SIGKILL')
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    }
    await this.#authority[Symbol.asyncDispose]()
    await rm(this.#directory, { recursive: true, force: true })
  }
}
