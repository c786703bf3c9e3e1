import { expect, it } from 'vitest'
import { READ_ROUTES, routeScope } from '../../../src/http/route-scopes.ts'
import { startHttpRig } from './client.ts'

it('every served route has a scope, and every line of the table a route', async () => {
  await using rig = await startHttpRig()
  const { paths } = (await rig.fetch('GET', '/api/v1/openapi.json')).json as { paths: Record<string, object> }
  const routes = Object.entries(paths).map(([path, methods]) => [path.replace(/\{(\w+)\}/g, ':$1'), methods] as const)
  const without = routes.flatMap(([url, methods]) =>
    Object.keys(methods).flatMap((method) => (routeScope(method.toUpperCase(), url) === undefined ? [url] : [])),
  )
  expect(without).toEqual([])
  const served = new Set(routes.flatMap(([url, methods]) => ('get' in methods ? [url] : [])))
  expect([...READ_ROUTES].filter((url) => !served.has(url))).toEqual([])
})

it.each([
  ['GET', '/api/v1/vms', 'read'],
  ['HEAD', '/api/v1/vms', 'read'],
  ['POST', '/api/v1/vms', 'vm'],
  ['GET', '/api/v1/vms/:id/agent/files/read', 'vm'],
  ['GET', '/api/v1/storage/pools/:id/files/content', 'storage'],
  ['PUT', '/api/v1/settings/images/rate-limit', 'storage'],
  ['POST', '/api/v1/cluster/join', 'admin'],
  ['GET', '/api/v1/vmsx', undefined],
  ['GET', '/debug', undefined],
])('%s %s needs %s', (method, url, scope) => {
  expect(routeScope(method, url)).toBe(scope)
})
