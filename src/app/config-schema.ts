import { z } from 'zod'
import { isId } from '../core/ids.ts'
import { bareAddress } from '../host/management-address.ts'
import { isCommonName } from '../platform/openssl.ts'

/**
 * The configuration file. Keys of existing node.yaml files keep their names and meaning; ours are added. Strict: an unknown key is an error.
 * Every description ends up in docs/configuration.md.
 */

const absolutePath = z.string().regex(/^\/[^\0\n]*$/, 'must be an absolute path')
/** Where NICs on a network go. */
const NETWORK =
  /^(user|(network:|bridge:)?[^:/\s]+|ovs:[A-Za-z0-9_.-]{1,15}(:([1-9]\d{0,2}|[123]\d{3}|40[0-8]\d|409[0-4]))?)$/
const listenAddress = z
  .string()
  .regex(/^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$/, 'must be host:port')
  .refine((address) => Number(/\d+$/.exec(address)?.[0] ?? 0) <= 65_535, 'the port must be at most 65535')
const urlPrefix = z.string().regex(/^https?:\/\/[^\s?#@]+\/$/, 'must be an http or https URL that ends with a slash')
const seconds = z.number().int().positive()

const node = z
  .strictObject({
    id: z
      .string()
      .refine(isId, 'use 1 to 128 letters, digits, dots, dashes and underscores')
      .optional()
      .describe('Fixed agent id. Default: made once and kept in the state directory.'),
    hostname: z
      .string()
      .optional()
      .describe('Name this host registers under (its identity for the control plane). Default: the host name.'),
    management_ip: z
      .string()
      .refine((address) => bareAddress(address) !== undefined, 'must be an IP address')
      .optional()
      .describe('Address the control plane reaches this host at. Default: detected from the interfaces.'),
    labels: z.record(z.string(), z.string()).default({}).describe('Labels sent at registration.'),
  })
  .prefault({})

const tls = z
  .strictObject({
    enabled: z
      .boolean()
      .default(false)
      .describe('HTTPS listener with the same API. Control planes call port 8443 for guests and updates.'),
    listen_address: listenAddress
      .default('0.0.0.0:8443')
      .describe('Address of the HTTPS listener; `allow_from` holds for it too.'),
    redirect_http: z
      .boolean()
      .default(false)
      .describe('Plain HTTP on `redirect_port` of the same address answers every request with a redirect to HTTPS.'),
    redirect_port: z
      .number()
      .int()
      .min(1)
      .max(65_535)
      .default(80)
      .describe('Port of that; ACME servers look for answers to `http-01` at port 80.'),
    cert_path: absolutePath
      .default('/etc/limiquantix/certs/server.crt')
      .describe('Certificate and those that lead to its authority (PEM). A changed file is taken up within 5 s.'),
    key_path: absolutePath
      .default('/etc/limiquantix/certs/server.key')
      .describe('Its private key (PEM, without a passphrase).'),
    ca_path: absolutePath
      .optional()
      .describe('Authorities (PEM) that may sign certificates of clients. Default: `ca.crt` beside the certificate.'),
    crl_path: absolutePath
      .optional()
      .describe(
        'Lists of revoked certificates of clients (PEM, one of each authority), kept up to date by somebody else; a changed file is taken up within 5 s. An outdated list shuts out all clients of its authority.',
      ),
    mode: z
      .enum(['self-signed', 'manual', 'acme'])
      .default('self-signed')
      .describe(
        'Where the certificate comes from: `self-signed` is made where none is, and anew in time; `manual` is put there by somebody; `acme` is asked for.',
      ),
    self_signed: z
      .strictObject({
        common_name: z
          .string()
          .refine(isCommonName, 'use letters, digits, spaces and . : _ @ * -')
          .optional()
          .describe('Default: the host name.'),
        validity_days: z.number().int().min(1).max(3650).default(365),
      })
      .prefault({})
      .describe('The self-signed certificate: `common_name` (default: the host name), `validity_days` (365).'),
    acme: z
      .strictObject({
        enabled: z
          .boolean()
          .default(false)
          .describe('Certificates can be asked for over HTTP also when `mode` is another one.'),
        email: z.string().default('').describe('Of the account; servers warn there of certificates that end.'),
        directory_url: z
          .url({ protocol: /^https$/, error: 'must be an https URL' })
          .default('https://acme-v02.api.letsencrypt.org/directory')
          .describe('The server. Using it means to agree to its terms.'),
        ca_file: absolutePath
          .optional()
          .describe('Authorities (PEM) that a private server is believed by, besides those of the host.'),
        domains: z
          .array(z.string())
          .default([])
          .describe('Names of the certificate that the agent asks for by itself. Each must lead to this host.'),
        challenge_type: z
          .string()
          .default('http-01')
          .describe('How names are proved. Only `http-01` is built in: the server fetches a file from port 80.'),
        account_path: absolutePath
          .default('/etc/limiquantix/certs/acme/account.json')
          .describe('Account and its key (0600).'),
        auto_renew: z.boolean().default(true).describe('Renew in time.'),
        renew_before_days: z
          .number()
          .int()
          .min(1)
          .max(365)
          .default(30)
          .describe('Days before the end; a third of its life if that is less.'),
      })
      .prefault({}),
  })
  .prefault({})

const server = z
  .strictObject({
    listen_address: listenAddress
      .default('127.0.0.1:9090')
      .describe(
        'gRPC listener. Closed by default; a control plane on another machine needs `0.0.0.0:9090` and `allow_from`.',
      ),
    metrics_port: z
      .number()
      .int()
      .optional()
      .describe('Kept for existing files; metrics are at /metrics of the HTTP listener.'),
    allow_from: z
      .array(z.string())
      .default([])
      .describe(
        'Addresses or CIDR ranges that may use the listeners, besides loopback. Required when a listener is not on loopback.',
      ),
    http: z
      .strictObject({
        enabled: z.boolean().default(true).describe('HTTP API.'),
        listen_address: listenAddress
          .default('127.0.0.1:8080')
          .describe('HTTP listener. Control planes expect port 8080.'),
        webui_path: z.string().optional().describe('Kept for existing files.'),
        tls,
      })
      .prefault({}),
  })
  .prefault({})

const security = z
  .strictObject({
    mode: z
      .enum(['closed', 'compat', 'mtls'])
      .optional()
      .describe(
        'Who may use the listeners: `closed` this host only; `compat` the addresses of `server.allow_from`, without certificates; `mtls` clients with a certificate of the cluster. Default: `compat` when `allow_from` names somebody, else `closed`.',
      ),
  })
  .prefault({})

const hypervisor = z
  .strictObject({
    backend: z
      .literal('libvirt')
      .default('libvirt')
      .describe('Only libvirt. There is no mock: an agent never invents a hypervisor.'),
    libvirt_uri: z
      .string()
      .regex(
        /^(qemu|test)(\+unix)?:\/\/\/[^?]*(\?.*)?$/,
        'must name a driver on this host, such as qemu:///system or qemu+unix:///system?socket=/path',
      )
      .default('qemu:///system')
      .describe(
        'libvirt connection; `qemu+unix:///system?socket=/path` names a socket. Default: virtqemud, else libvirtd, by the sockets that are there.',
      ),
    storage_path: z.string().optional().describe('Kept for existing files.'),
    images_path: absolutePath
      .optional()
      .describe('Directory for images without a pool. Default: <state_dir>/cloud-images.'),
    domain_type: z
      .enum(['auto', 'kvm', 'qemu'])
      .default('auto')
      .describe('`kvm`, `qemu` (emulation), or `auto`: kvm when libvirt offers it.'),
    qemu_log_dir: absolutePath
      .default('/var/log/libvirt/qemu')
      .describe("Where libvirt keeps QEMU's log of each VM (`<name>.log`)."),
    agent_iso: z
      .string()
      .min(1)
      .optional()
      .describe(
        'ISO with guest agents for `cdrom/mount-agent-iso`: absolute, in a pool or a directory of images, or relative to a pool (`iso/tools.iso`). Default: the newest one in a pool that is named like one.',
      ),
    emulator: absolutePath.optional().describe('QEMU binary. Default: what libvirt proposes.'),
    networks: z
      .record(
        z.string(),
        z.string().regex(NETWORK, 'must be network:NAME, bridge:NAME, ovs:BRIDGE, ovs:BRIDGE:VLAN (1 to 4094) or user'),
      )
      .default({})
      .describe(
        'Maps network ids of the control plane to `network:NAME`, `bridge:NAME`, `ovs:BRIDGE` or `ovs:BRIDGE:VLAN` (Open vSwitch) or `user` (QEMU user networking).',
      ),
  })
  .prefault({})

const controlPlane = z
  .strictObject({
    address: z
      .url({ protocol: /^https?$/, error: 'must be an http or https URL' })
      .default('http://localhost:8080')
      .describe('Base URL of the control plane.'),
    registration_enabled: z.boolean().default(false).describe('Register there and send heartbeats.'),
    // A control plane takes a node for lost after 90 s.
    heartbeat_interval_secs: seconds.max(60).default(30).describe('Seconds between heartbeats, at most 60.'),
    import_foreign_vms: z
      .boolean()
      .default(true)
      .describe('Tell it also about libvirt domains that the agent did not make; it then lists them as its own.'),
  })
  .prefault({})

const updates = z
  .strictObject({
    enabled: z.boolean().optional(),
    server_url: z.string().optional(),
    channel: z.string().optional(),
    check_interval: z.string().optional(),
    auto_apply: z.boolean().optional(),
    auto_reboot: z.boolean().optional(),
    storage_location: z.string().optional(),
    volume_path: z.string().optional(),
    staging_dir: z.string().optional(),
    backup_dir: z.string().optional(),
    max_backups: z.number().int().optional(),
  })
  .prefault({})
  .describe('Kept for existing files; the package manager updates this agent.')

const paths = z
  .strictObject({
    state_dir: absolutePath
      .default('/var/lib/limiquantix')
      .describe('Everything the agent keeps. Several agents can run side by side, each with its own.'),
  })
  .prefault({})

const connections = z.number().int().min(1).max(8)

const downloads = z
  .strictObject({
    allow_private_addresses: z
      .boolean()
      .default(false)
      .describe(
        'Lets image URLs point to loopback, private and link-local addresses: for closed networks with their own mirror.',
      ),
    allowed_dirs: z.array(absolutePath).default([]).describe('More base directories for downloads without a pool.'),
    stall_timeout_secs: seconds
      .default(60)
      .describe(
        'A connection without a received byte for this long is given up; so is a download without a durable one.',
      ),
    retry_patience_secs: z
      .number()
      .int()
      .min(0)
      .default(60)
      .describe('Broken connections and busy servers are tried again until no new byte came for this long.'),
    max_concurrent: z.number().int().min(1).max(64).default(4).describe('Downloads at the same time; the rest waits.'),
    max_per_server: z
      .number()
      .int()
      .min(1)
      .max(64)
      .optional()
      .describe('The same from one server. Default: no limit of its own.'),
    connections: connections
      .default(1)
      .describe(
        'Connections of one download to its server; more help where each is slow. A request may say otherwise.',
      ),
    connections_by_pool: z
      .record(z.string(), connections)
      .default({})
      .describe('The same for downloads into single pools, by pool id.'),
  })
  .prefault({})

const rate = z
  .number()
  .int()
  .refine((bytes) => bytes === 0 || bytes >= 65_536, 'must be 0 or at least 65536')
  .default(0)
const proof = z.enum(['none', 'checksum', 'signature'])

const images = z
  .strictObject({
    require: proof
      .default('none')
      .describe('What proves an image on every way in: `none`, a `checksum`, or a `signature` of a pinned key.'),
    require_by_pool: z
      .record(z.string(), proof)
      .default({})
      .describe('The same for single pools, by pool id; wins over `require`.'),
    keyrings_dir: absolutePath
      .default('/etc/limiquantix/keyrings')
      .describe('Public keys that may sign sums files: every `*.gpg` and `*.asc` in it.'),
    rate_limit: rate.describe('Bytes per second of all downloads together; 0 = no limit. What is set over HTTP wins.'),
    rate_limit_by_pool: z.record(z.string(), rate).default({}).describe('The same for single pools, by pool id.'),
    ca_file: absolutePath
      .optional()
      .describe(
        'Certificates (PEM) of private authorities that image servers are believed by, besides those of the host.',
      ),
    proxy: z
      .url({ protocol: /^https?$/, error: 'must be an http or https URL' })
      .optional()
      .describe('Proxy for images and sums. Default: `http_proxy` and `https_proxy` of the environment.'),
    no_proxy: z
      .string()
      .optional()
      .describe(
        'Hosts and domains that are reached without the proxy, separated by commas. Default: `no_proxy` of the environment.',
      ),
    catalog_dir: absolutePath
      .default('/etc/limiquantix/catalog.d')
      .describe('More catalog images: every `*.json` in it.'),
    url_rewrite: z
      .array(z.strictObject({ from: urlPrefix, to: urlPrefix }))
      .default([])
      .describe(
        'Mirrors: URLs of images, sums and signatures that begin with `from` are fetched from `to`, which may have a private address.',
      ),
    lease_timeout_secs: seconds
      .min(3)
      .default(30)
      .describe(
        'Hosts that share a pool download an image once; one that gives no sign of life for this long is taken for dead.',
      ),
    scan_interval_secs: seconds
      .min(10)
      .default(300)
      .describe('Seconds between looks for images that somebody put into a pool or directory.'),
  })
  .prefault({})

const jobs = z
  .strictObject({
    history_max_count: z
      .number()
      .int()
      .min(10)
      .max(10_000)
      .default(500)
      .describe('Ended jobs of one kind that are remembered, with their logs.'),
    history_max_age_days: z.number().int().min(1).max(3650).default(30).describe('Days an ended job is remembered.'),
  })
  .prefault({})

const log = z
  .strictObject({
    level: z.enum(['trace', 'debug', 'info', 'warn', 'error']).default('info').describe('Least level that is logged.'),
  })
  .prefault({})

const consoles = z
  .strictObject({
    relay_ports: z
      .string()
      .regex(/^\d{1,5}-\d{1,5}$/, 'must be two ports with a dash between them')
      .refine((range) => {
        const [first = 0, last = 0] = range.split('-').map(Number)
        return first >= 1024 && first <= last && last <= 65_535
      }, 'must be ports from 1024 to 65535, the lower one first')
      .default('15900-15999')
      .describe('Ports of the relays to VNC consoles, on the management address; each is open for one connection.'),
    max_connections: z.number().int().min(1).max(1000).default(64).describe('Console connections at the same time.'),
  })
  .prefault({})

const migration = z
  .strictObject({
    address: z
      .union([z.ipv4(), z.ipv6()])
      .optional()
      .describe('Address at which other hosts reach guests that come to this one. Default: the management address.'),
    tls: z
      .boolean()
      .default(false)
      .describe(
        'Encrypt the memory and disks of guests on their way to other hosts, with the certificates of QEMU on both hosts (docs/vms.md).',
      ),
    accept_unannounced: z
      .boolean()
      .default(false)
      .describe('Take VMs in that were not announced by PrepareMigration and ReceiveMigration.'),
  })
  .prefault({})

const audit = z
  .strictObject({
    enabled: z.boolean().default(true).describe('Write down every call that changes something (docs/audit.md).'),
    directory: absolutePath.optional().describe('Where. Default: <state_dir>/audit. Not to be shared by two agents.'),
    max_file_bytes: z
      .number()
      .int()
      .min(4096)
      .default(64 * 1024 * 1024)
      .describe('Size at which the next file is begun.'),
    keep_files: z.number().int().min(2).max(10_000).default(16).describe('Files that are kept; older ones go.'),
    required: z
      .boolean()
      .default(false)
      .describe('Refuse calls that cannot be written down, instead of writing them down as soon as possible.'),
  })
  .prefault({})

/** The whole file. */
export const configSchema = z.strictObject({
  node,
  server,
  security,
  hypervisor,
  control_plane: controlPlane,
  updates,
  paths,
  downloads,
  images,
  jobs,
  console: consoles,
  migration,
  audit,
  log,
})

/** The configuration with every default filled in. */
export type Config = z.infer<typeof configSchema>
