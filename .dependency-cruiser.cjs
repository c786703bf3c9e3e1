/** Import directions of docs/architecture.md: every layer sees only those to its right. */
const layers = [
  ['main'],
  ['app'],
  ['grpc', 'http', 'cli'],
  ['services'],
  ['storage', 'images', 'domains', 'consoles', 'network', 'host', 'controlplane', 'certificates'],
  ['libvirt', 'cloudinit', 'operations', 'audit', 'events'],
  ['platform'],
  ['core'],
]
const path = (name) => (name === 'main' ? '^src/main\\.ts$' : `^src/${name}/`)
const upward = layers.flatMap((layer, depth) =>
  layer.flatMap((from) =>
    layers
      .slice(0, depth)
      .flat()
      .map((to) => ({
        name: `${from}-not-to-${to}`,
        severity: 'error',
        from: { path: path(from) },
        to: { path: path(to) },
      })),
  ),
)
const door = (name, modules, allowed) => ({
  name,
  severity: 'error',
  comment: 'Third parties stay behind their door.',
  from: { path: '^src/', pathNot: allowed },
  to: { path: `^node_modules/(${modules})(/|$)` },
})
module.exports = {
  forbidden: [
    ...upward,
    { name: 'core-imports-nothing', severity: 'error', from: { path: '^src/core/' }, to: { pathNot: '^src/core/' } },
    { name: 'no-circular', severity: 'error', from: { path: '^src/' }, to: { circular: true } },
    { name: 'src-not-to-test', severity: 'error', from: { path: '^src/' }, to: { path: '^(test|scripts)/' } },
    {
      name: 'backends-are-independent',
      severity: 'error',
      from: { path: '^src/storage/backends/([^/]+)$' },
      to: { path: '^src/storage/backends/', pathNot: '^src/storage/backends/$1$' },
    },
    door('execa-door', 'execa', '^src/platform/'),
    door('undici-door', 'undici', '^src/platform/'),
    door('grpc-door', '@grpc|grpc-health-check', '^src/grpc/'),
    door('ws-door', 'ws', '^src/(http|cli)/'),
    door('fastify-door', 'fastify|@fastify', '^src/http/'),
    door('xml-door', 'fast-xml-parser', '^src/(domains|libvirt)/'),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      extensions: ['.ts', '.js', '.mjs', '.cjs', '.json'],
      conditionNames: ['import', 'node', 'default'],
    },
  },
}
