import type { Scope } from '../certificates/client-scopes.ts'

// What tells of the host and changes nothing. Contents of guests, disks and files are not among it.
const READ: ReadonlySet<string> = new Set([
  '/healthz',
  '/readyz',
  '/metrics',
  '/api/v1/openapi.json',
  '/api/v1/host',
  '/api/v1/host/health',
  '/api/v1/host/metrics',
  '/api/v1/events',
  '/api/v1/events/stream',
  '/api/v1/vms',
  '/api/v1/vms/:id',
  '/api/v1/vms/:id/save',
  '/api/v1/vms/:id/snapshots',
  '/api/v1/vms/:id/nics',
  '/api/v1/vms/:id/backups',
  '/api/v1/vms/:id/exports',
  '/api/v1/backups',
  '/api/v1/vms/:id/qemu-agent/ping',
  '/api/v1/vms/:id/agent/ping',
  '/api/v1/updates/check',
  '/api/v1/updates/version',
  '/api/v1/updates/status',
  '/api/v1/storage/pools',
  '/api/v1/storage/pools/:id',
  '/api/v1/storage/pools/:id/files',
  '/api/v1/storage/pools/:id/volumes',
  '/api/v1/storage/pools/:id/volumes/:volume/snapshots',
  '/api/v1/storage/images',
  '/api/v1/storage/convert/:job',
  '/api/v1/images',
  '/api/v1/images/:id',
  '/api/v1/images/catalog',
  '/api/v1/images/folders',
  '/api/v1/images/download/:job',
  '/api/v1/images/downloads',
  '/api/v1/images/uploads/:upload',
  '/api/v1/settings/images/rate-limit',
  '/api/v1/settings/certificates',
  '/api/v1/settings/certificates/acme',
  '/api/v1/jobs',
  '/api/v1/jobs/:job',
  '/api/v1/jobs/:job/log',
  '/api/v1/jobs/:job/events',
  '/api/v1/cluster/status',
  '/api/v1/cluster/config',
  '/api/v1/registration/ping',
  // These two want the token of the host besides.
  '/api/v1/registration/token',
  '/api/v1/registration/discovery',
])

// Everything else, by the first that the route begins with.
const AREAS: readonly (readonly [prefix: string, scope: Scope])[] = [
  ['/api/v1/vms', 'vm'],
  ['/api/v1/backups', 'vm'],
  ['/api/v1/migrations', 'vm'],
  ['/api/v1/storage', 'storage'],
  ['/api/v1/images', 'storage'],
  ['/api/v1/settings/images', 'storage'],
  ['/api/v1/jobs', 'storage'],
  ['/api/v1/settings', 'admin'],
  ['/api/v1/cluster', 'admin'],
  ['/api/v1/registration', 'admin'],
  ['/api/v1/updates', 'admin'],
  ['/api/v1/host', 'admin'],
  ['/api/v1/events', 'admin'],
]

/** The scope that a route (method and pattern) needs; undefined for one that the tables do not know, which nobody may use then. */
export function routeScope(method: string, url: string): Scope | undefined {
  if ((method === 'GET' || method === 'HEAD') && READ.has(url)) return 'read'
  return AREAS.find(([prefix]) => url === prefix || url.startsWith(`${prefix}/`))?.[1]
}

/** The patterns in the table of reads; a test holds that each is served. */
export const READ_ROUTES: Iterable<string> = READ
