// A process that has a worker, prints the pid of it and stays.
import { flushCompileCache } from 'node:module'
import { silentLogger } from '../../../src/core/context.ts'
import { WorkerProcess } from '../../../src/platform/workers.ts'

// It is killed: the next one would have to compile everything again.
flushCompileCache()

const worker = new WorkerProcess('storage', 'test', silentLogger)
// Answered, if only with an error: the worker is up.
await worker.call('ask', {}, { signal: new AbortController().signal, timeoutMs: 60_000 }).catch(() => undefined)
console.log(worker.pid)
setInterval(() => undefined, 60_000)
