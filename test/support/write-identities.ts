import { readFile } from 'node:fs/promises'
import { writeIdentity, type IdentityPaths, type NewIdentity } from '../../src/certificates/identity-files.ts'

// Writes the identities of a JSON file in turn, for ever: a victim for tests that kill it in the middle.
const { paths, identities } = JSON.parse(await readFile(process.argv[2] ?? '', 'utf8')) as {
  paths: IdentityPaths
  identities: NewIdentity[]
}
process.stdout.write('writing\n')
for (;;) for (const identity of identities) await writeIdentity(paths, identity)
