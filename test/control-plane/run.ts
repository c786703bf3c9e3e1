// A control plane to try an agent against:  node test/control-plane/run.ts [port] [grpc port of the agents] [file to record the session in]
import { writeFileSync } from 'node:fs'
import { writeSession } from './session-file.ts'
import { startStandInControlPlane } from './stand-in.ts'

const [port = '8090', grpcPort, recording] = process.argv.slice(2)
const controlPlane = await startStandInControlPlane({
  port: Number(port),
  ...(grpcPort === undefined ? {} : { nodeGrpcPort: Number(grpcPort) }),
})
console.log(`stand-in control plane on ${controlPlane.url}; set control_plane.address to it. Ctrl-C ends it.`)
const stop = new AbortController()
process.once('SIGINT', () => stop.abort())
process.once('SIGTERM', () => stop.abort())
try {
  for (;;) console.log(JSON.stringify(await controlPlane.waitForHeartbeat(stop.signal)))
} catch (error) {
  if (!stop.signal.aborted) throw error
}
for (const violation of controlPlane.violations) console.log(`against the contract: ${violation}`)
if (recording !== undefined) writeFileSync(recording, writeSession(controlPlane.traffic.exchanges, {}))
await controlPlane.close()
