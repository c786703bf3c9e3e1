/** Bundles the agent for shipping: dist/limiquantix-node.mjs, the parts that only some of its processes load, and the proto files beside them. Run by `npm run build`; with an argument, dist is made in that directory. */
import { cp, readFile, rm } from 'node:fs/promises'
import path from 'node:path'
import { build, type Plugin } from 'esbuild'

const root = path.join(import.meta.dirname, '..')
const dist = path.join(path.resolve(process.argv[2] ?? root), 'dist')

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
  outdir: dist,
  entryNames: 'limiquantix-node',
  // In the same directory, as vendored code looks for its files from where it is.
  chunkNames: 'part-[hash]',
  outExtension: { '.js': '.mjs' },
  bundle: true,
  // A helper loads what it needs and not the whole agent: that is half of its memory and of its start.
  splitting: true,
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
const programs = Object.entries(result.metafile.outputs).filter(([file]) => file.endsWith('.mjs'))
const bytes = programs.reduce((sum, [, output]) => sum + output.bytes, 0)
process.stdout.write(`dist/limiquantix-node.mjs and its parts  ${(bytes / 2 ** 20).toFixed(1)} MiB\n`)
