/** Writes numbered lines to the log in argv[2] for ever, and says on stdout which is on disk; killed by the test. */
import { numbered, openLog } from './audit-directory.ts'

const log = openLog(process.argv[2] ?? '', { maxFileBytes: 20_000, keepFiles: 1000 })
for (let n = Number(process.argv[3]); ; n += 20) {
  await Promise.all(Array.from({ length: 20 }, (_, i) => log.append(numbered(n + i))))
  process.stdout.write(`${n + 19}\n`)
}
