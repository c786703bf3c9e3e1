// The other side of bench:link, in a process of its own so that its work does not count as the agent's. Prints its URL; ends with its standard input.
import { startStandInControlPlane } from '../control-plane/stand-in.ts'

const controlPlane = await startStandInControlPlane()
process.stdout.write(`${controlPlane.url}\n`)
// What it keeps for tests would only fill memory here, and assigned pools belong into every answer.
const keep = setInterval(() => {
  for (const list of [controlPlane.requests, controlPlane.heartbeats, controlPlane.traffic.exchanges])
    (list as unknown[]).length = 0
  for (const node of controlPlane.fleet.nodes.values()) assign(node.id)
}, 100)
function assign(nodeId: string): void {
  for (let n = 0; n < 20; n++) {
    const id = `pool-${n}`
    if (!controlPlane.fleet.pools.has(id))
      controlPlane.fleet.addPool({ id, name: id, kind: 'LOCAL_DIR', config: {}, assignedNodeIds: [nodeId] })
  }
}
process.stdin.resume().on('end', () => {
  clearInterval(keep)
  void controlPlane.close()
})
