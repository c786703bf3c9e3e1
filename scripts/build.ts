/** Bundles the agent for shipping: dist/limiquantix-node.mjs with the proto files beside it. Run by `npm run build`. */
import { cp, rm } from 'node:fs/promises'
import path from 'node:path'
import { build } from 'esbuild'

const root = path.join(import.meta.dirname, '..')
const dist = path.join(root, 'dist')

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
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
  metafile: true,
})
await cp(path.join(root, 'proto'), path.join(dist, 'proto'), { recursive: true })
for (const [file, output] of Object.entries(result.metafile.outputs)) {
  if (file.endsWith('.mjs')) process.stdout.write(`${file}  ${(output.bytes / 2 ** 20).toFixed(1)} MiB\n`)
}
