const [command, ...rest] = process.argv.slice(2)
if (command === 'worker') {
  const { startWorker } = await import('./app/worker-entry.ts')
  await startWorker(rest[0] ?? '')
} else {
  const { runCommand } = await import('./app/commands.ts')
  process.exitCode = await runCommand(command, rest)
}
