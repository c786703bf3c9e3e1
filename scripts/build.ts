/** Bundles the agent for shipping: dist/limiquantix-node.mjs with the proto files beside it. Run by `npm run build`. */
import { cp, readFile, rm } from 'node:fs/promises'
import path from 'node:path'
import { build, type Plugin } from 'esbuild'

const root = path.join(import.meta.dirname, '..')
const dist = path.join(root, 'dist')

// These load proto files relative to their own place; in the bundle that is dist/vendor/<package>.
const PROTO_DIRECTORIES = { 'grpc-health-check': 'proto', '@grpc/reflection': 'build/proto' }

const vendoredProtos: Plugin = {
  name: 'vendored-protos',
  setup(plugin) {
    for (const [name, protos] of Object.entries(PROTO_DIRECTORIES)) {
      const home = path.join(root, 'node_modules', name)
      const filter = new RegExp(`^${home.replaceAll(/[.+]/g, '\\$&')}/.*\\.js$`)
      plugin.onLoad({ filter }, async ({ path: file }) => {
        const place = path.join('vendor', name, path.relative(home, path.dirname(file)))
        const text = await readFile(file, 'utf8')
        return { contents: text.replaceAll('__dirname', `(__bundle + ${JSON.stringify(`/${place}`)})`), loader: 'js' }
      })
      plugin.onEnd(() => cp(path.join(home, protos), path.join(dist, 'vendor', name, protos), { recursive: true }))
    }
  },
}

await rm(dist, { recursive: true, force: true })
const result = await build({
  entryPoints: [path.join(root, 'src', 'main.ts')],
  outfile: path.join(dist, 'limiquantix-node.mjs'),
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  sourcemap: 'linked',
  legalComments: 'linked',
  // Dependencies in CommonJS call require(); an ES module has none of its own.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url); const __bundle = import.meta.dirname, __dirname = __bundle, __filename = import.meta.filename;",
  },
  plugins: [vendoredProtos],
  metafile: true,
})
await cp(path.join(root, 'proto'), path.join(dist, 'proto'), { recursive: true })
for (const [file, output] of Object.entries(result.metafile.outputs)) {
  if (file.endsWith('.mjs')) process.stdout.write(`${file}  ${(output.bytes / 2 ** 20).toFixed(1)} MiB\n`)
}
