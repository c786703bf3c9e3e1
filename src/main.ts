const [command, ...rest] = process.argv.slice(2)
if (command === 'worker') {
  const { startWorker } = await import('./app/worker-entry.ts')
  await startWorker(rest[0] ?? '')
} else {
  const { runCommand } = await import('./app/commands.ts')
  // All is stopped and written by now; whatever library still holds a handle must not keep a stopped service alive.
  process.exit(await runCommand(command, rest))
}
