import { enableCompileCache } from 'node:module'

// Type stripping and compilation of the sources are cached between starts.
enableCompileCache()

const [command, ...rest] = process.argv.slice(2)
if (command === 'worker') {
  const { startWorker } = await import('./app/worker-entry.ts')
  await startWorker(rest[0] ?? '')
} else {
  const { runCommand } = await import('./cli/commands.ts')
  process.exitCode = await runCommand(command, rest)
}
