import { execFile } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc', '-config', '/dev/null']

/** A key with its certificate; both PEM. */
export interface IssuedCertificate {
  readonly key: string
  readonly cert: string
}

export interface CertificateWish {
  /** `/OU=read/CN=name`. */
  readonly subject?: string
  /** As openssl has it, such as `DNS:localhost,URI:urn:x`. */
  readonly altNames?: string
  /** A negative number has expired. */
  readonly days?: number
}

/** A real certificate authority in a directory of its own. */
export class TestAuthority implements AsyncDisposable {
  readonly #directory: string
  /** Its own certificate, PEM. */
  readonly cert: string
  #issued = 0

  private constructor(directory: string, cert: string) {
    this.#directory = directory
    this.cert = cert
  }

  static async create(name = 'test authority'): Promise<TestAuthority> {
    const directory = await mkdtemp(path.join(tmpdir(), 'lqx-ca-'))
    const at = (file: string) => path.join(directory, file)
    const extensions = [
      '-addext',
      'basicConstraints=critical,CA:TRUE',
      '-addext',
      'keyUsage=critical,keyCertSign,cRLSign',
    ]
    const out = ['-keyout', at('ca.key'), '-out', at('ca.crt')]
    await run('openssl', ['req', '-x509', ...KEY, '-days', '10', '-subj', `/CN=${name}`, ...extensions, ...out])
    return new TestAuthority(directory, await readFile(at('ca.crt'), 'utf8'))
  }

  /** Its own certificate as it would be if it had expired yesterday. */
  async expired(): Promise<string> {
    const [ca, key] = [path.join(this.#directory, 'ca.crt'), path.join(this.#directory, 'ca.key')]
    return (await run('openssl', ['x509', '-in', ca, '-signkey', key, '-days', '-1'])).stdout
  }

  /** A certificate for a new key. */
  async issue(wish: CertificateWish = {}): Promise<IssuedCertificate> {
    const base = path.join(this.#directory, `key-${this.#issued++}`)
    const out = ['-keyout', `${base}.key`, '-out', `${base}.csr`]
    await run('openssl', ['req', '-new', ...KEY, '-subj', wish.subject ?? '/CN=client', ...out])
    const cert = await this.sign(await readFile(`${base}.csr`, 'utf8'), wish)
    return { key: await readFile(`${base}.key`, 'utf8'), cert }
  }

  /** Signs a request. */
  async sign(
    request: string,
    { altNames = 'DNS:localhost,IP:127.0.0.1', days = 5 }: CertificateWish = {},
  ): Promise<string> {
    const serial = ++this.#issued
    const base = path.join(this.#directory, `issued-${serial}`)
    const ca = ['-CA', path.join(this.#directory, 'ca.crt'), '-CAkey', path.join(this.#directory, 'ca.key')]
    const extensions = `basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth,clientAuth\nsubjectAltName=${altNames}\n`
    await writeFile(`${base}.csr`, request)
    await writeFile(`${base}.ext`, extensions)
    const sign = ['x509', '-req', '-in', `${base}.csr`, ...ca, '-set_serial', String(serial), '-days', String(days)]
    await run('openssl', [...sign, '-extfile', `${base}.ext`, '-out', `${base}.crt`])
    return readFile(`${base}.crt`, 'utf8')
  }

  /** The list of what it revoked (PEM): the given certificates. Good for a day. */
  async revoke(...certificates: readonly string[]): Promise<string> {
    const at = (file: string) => path.join(this.#directory, file)
    const serials = certificates.map((pem) => new X509Certificate(pem).serialNumber)
    // As openssl-ca(1) keeps it: state, end, time of the revocation, serial number, file, subject.
    const lines = serials.map((serial) => `R\t991231235959Z\t200101000000Z\t${serial}\tunknown\t/CN=x\n`)
    await writeFile(at('index.txt'), lines.join(''))
    await writeFile(at('ca.cnf'), `[ca]\ndefault_ca=d\n[d]\ndatabase=${at('index.txt')}\ndefault_md=sha256\n`)
    const ca = ['-cert', at('ca.crt'), '-keyfile', at('ca.key'), '-config', at('ca.cnf')]
    return (await run('openssl', ['ca', '-gencrl', ...ca, '-crldays', '1'])).stdout
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true })
  }
}
