/** Writes docs/errors.md from the table of reasons and docs/configuration.md from the configuration schema. Run by `npm run gen:docs`. */
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { z } from 'zod'
import { configSchema } from '../src/app/config-schema.ts'
import { REASONS } from '../src/core/reasons.ts'

interface Node {
  readonly type?: string
  readonly description?: string
  readonly default?: unknown
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly properties?: Readonly<Record<string, Node>>
}

const docs = path.join(import.meta.dirname, '..', 'docs')

function errorsPage(): string {
  const rows = Object.entries(REASONS).map(
    ([reason, info]) => `| \`${reason}\` | ${info.code} | ${info.meaning} | ${info.remedy} |`,
  )
  return `# Errors

Generated from \`src/core/reasons.ts\`; do not edit by hand (\`npm run gen:docs\`).

Every error has a gRPC canonical code, a stable \`reason\`, and a message that names the object. gRPC carries the reason in the trailing
metadata \`limiquantix-reason\`; HTTP answers are \`{"error": "<reason in lower case>", "message": "..."}\`. Reasons are added, never renamed.
Messages towards a control plane never contain the words it acts on, except where that is meant (\`VM_NOT_FOUND\`, \`POOL_NOT_FOUND\`).

| reason | code | what happened | what to do |
|---|---|---|---|
${rows.join('\n')}
`
}

function configurationPage(): string {
  const rows: string[] = []
  const walk = (node: Node, prefix: string) => {
    for (const [key, child] of Object.entries(node.properties ?? {})) {
      const name = prefix === '' ? key : `${prefix}.${key}`
      if (child.properties !== undefined && child.description === undefined) {
        walk(child, name)
        continue
      }
      const type =
        child.enum?.map((value) => JSON.stringify(value)).join(' ') ??
        (child.const === undefined ? child.type : JSON.stringify(child.const))
      const fallback =
        child.default === undefined || child.properties !== undefined ? '' : `\`${JSON.stringify(child.default)}\``
      rows.push(`| \`${name}\` | ${type ?? ''} | ${fallback} | ${child.description ?? ''} |`)
    }
  }
  walk(z.toJSONSchema(configSchema, { io: 'input' }) as Node, '')
  return `# Configuration

Generated from \`src/app/config-schema.ts\`; do not edit by hand (\`npm run gen:docs\`).

YAML, by default \`/etc/limiquantix/node.yaml\`. An unknown key is an error that names it; \`limiquantix-node check-config --config FILE\` prints the file with
every default filled in. Command line options of \`serve\` win over the file, and only those that were typed do.

| key | type | default | meaning |
|---|---|---|---|
${rows.join('\n')}
`
}

await writeFile(path.join(docs, 'errors.md'), errorsPage())
await writeFile(path.join(docs, 'configuration.md'), configurationPage())
