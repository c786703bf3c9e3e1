import { z } from 'zod'
import { isId } from '../core/ids.ts'
import { bareAddress } from '../host/management-address.ts'

/**
 * The configuration file. Keys of existing node.yaml files keep their names and meaning; ours are added. Strict: an unknown key is an error.
 * Every description ends up in docs/configuration.md.
 */

const absolutePath = z.string().regex(/^\/[^\0\n]*$/, 'must be an absolute path')
const listenAddress = z
  .string()
  .regex(/^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$/, 'must be host:port')
  .refine((address) => Number(/\d+$/.exec(address)?.[0] ?? 0) <= 65_535, 'the port must be at most 65535')
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
    enabled: z.boolean().default(false).describe('HTTPS listener. Not built in this version: true is refused.'),
    listen_address: listenAddress.default('0.0.0.0:8443').describe('Address of the HTTPS listener.'),
    redirect_http: z.boolean().default(false).describe('Kept for existing files.'),
    redirect_port: z.number().int().default(80).describe('Kept for existing files.'),
    cert_path: z.string().default('/etc/limiquantix/certs/server.crt').describe('Certificate file.'),
    key_path: z.string().default('/etc/limiquantix/certs/server.key').describe('Key file.'),
    ca_path: z.string().optional().describe('CA file.'),
    mode: z
      .enum(['self-signed', 'manual', 'acme'])
      .default('self-signed')
      .describe('Where the certificate comes from.'),
    self_signed: z
      .strictObject({ common_name: z.string().optional(), validity_days: z.number().int().default(365) })
      .prefault({})
      .describe('Self-signed certificate: common_name, validity_days.'),
    acme: z
      .strictObject({
        enabled: z.boolean().default(false),
        email: z.string().optional(),
        directory_url: z.string().optional(),
        domains: z.array(z.string()).default([]),
        challenge_type: z.string().default('http-01'),
        account_path: z.string().optional(),
        auto_renew: z.boolean().default(true),
        renew_before_days: z.number().int().default(30),
      })
      .prefault({})
      .describe('ACME settings of existing files.'),
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
    emulator: absolutePath.optional().describe('QEMU binary. Default: what libvirt proposes.'),
    networks: z
      .record(
        z.string(),
        z.string().regex(/^(user|(network:|bridge:)?[^:/\s]+)$/, 'must be network:NAME, bridge:NAME or user'),
      )
      .default({})
      .describe(
        'Maps network ids of the control plane to `network:NAME`, `bridge:NAME` or `user` (QEMU user networking).',
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
      .describe('A download without a received or durable byte for this long fails.'),
    max_concurrent: z.number().int().min(1).max(64).default(4).describe('Downloads at the same time; the rest waits.'),
  })
  .prefault({})

const log = z
  .strictObject({
    level: z.enum(['trace', 'debug', 'info', 'warn', 'error']).default('info').describe('Least level that is logged.'),
  })
  .prefault({})

/** The whole file. */
export const configSchema = z.strictObject({
  node,
  server,
  hypervisor,
  control_plane: controlPlane,
  updates,
  paths,
  downloads,
  log,
})

/** The configuration with every default filled in. */
export type Config = z.infer<typeof configSchema>
