// Passes connections on, between a rig's network and UNIX sockets that both sides of its namespace see:
// node relay.ts LISTEN TARGET [LISTEN TARGET]…, each `unix:PATH` or `tcp:HOST:PORT` (port 0: any). Prints a line per
// listener, `LISTEN -> TARGET` with the port it got, and runs until it is killed.
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'

type Place = { readonly path: string } | { readonly host: string; readonly port: number }

function place(text: string): Place {
  if (text.startsWith('unix:')) return { path: text.slice('unix:'.length) }
  const [, host, port] = /^tcp:(.+):(\d+)$/.exec(text) ?? []
  if (host === undefined) throw new Error(`not unix:PATH or tcp:HOST:PORT: ${text}`)
  return { host, port: Number(port) }
}

async function relay(listen: string, target: string): Promise<void> {
  const server = createServer({ allowHalfOpen: true }, (inner) => {
    const outer = connect({ ...place(target), allowHalfOpen: true })
    // Either side breaking off breaks the other: a client must see that the agent is gone.
    inner.on('error', () => outer.destroy()).once('close', () => outer.destroy())
    outer.on('error', () => inner.destroy()).once('close', () => inner.destroy())
    inner.pipe(outer).pipe(inner)
  })
  const where = place(listen)
  if ('path' in where) rmSync(where.path, { force: true })
  server.listen(where)
  await once(server, 'listening')
  const port = (server.address() as AddressInfo).port
  process.stdout.write(`${'path' in where ? listen : `tcp:${where.host}:${port}`} -> ${target}\n`)
}

const pairs = process.argv.slice(2)
for (let index = 0; index + 1 < pairs.length; index += 2) await relay(pairs[index] ?? '', pairs[index + 1] ?? '')
