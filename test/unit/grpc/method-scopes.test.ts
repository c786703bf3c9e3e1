import { expect, it } from 'vitest'
import { loadNodeDaemonService } from '../../../src/grpc/load-service.ts'
import { methodScope } from '../../../src/grpc/method-scopes.ts'

it('every method of the service has a scope', () => {
  const paths = Object.values(loadNodeDaemonService().service).map(({ path }) => path)
  expect(paths.length).toBeGreaterThan(40)
  expect(paths.filter((path) => methodScope(path) === undefined)).toEqual([])
})

it.each([
  ['/limiquantix.node.v1.NodeDaemonService/ListVMs', 'read'],
  ['/limiquantix.node.v1.NodeDaemonService/DeleteVM', 'vm'],
  ['/limiquantix.node.v1.NodeDaemonService/InitStoragePool', 'storage'],
  ['/grpc.health.v1.Health/Check', 'read'],
  ['/limiquantix.node.v1.NodeDaemonService/constructor', undefined],
  ['/other.Service/ListVMs', undefined],
  ['', undefined],
])('%s needs %s', (path, scope) => {
  expect(methodScope(path)).toBe(scope)
})
