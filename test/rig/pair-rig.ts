import path from 'node:path'
import { until } from '../support/until.ts'
import { rigAt, type Rig } from './rig.ts'
import { downRig, runRig, upRig } from './run-rig.ts'

const START_TIMEOUT_MS = 10 * 60_000
const PATIENT_UNIT = '/etc/systemd/system/limiquantix-node.service.d/patient.conf'

/** One of the two. */
export interface PairHost extends Rig {
  /** Its address in the rig. */
  readonly address: string
  /** The agent's HTTP API, as a socket of this side. */
  readonly httpSocket: string
}

/** Two hosts of one rig. */
export interface PairRig {
  readonly a: PairHost
  readonly b: PairHost
  /** Nobody else's: it ends with `down`. */
  readonly isOwn: boolean
  down(): Promise<void>
}

/** Brings up a rig of two hosts with this checkout's agent; one named in LIMIQUANTIX_TEST_RIG_PAIR_DIR is used and left running. */
export async function upPairRig(): Promise<PairRig> {
  const given = process.env['LIMIQUANTIX_TEST_RIG_PAIR_DIR']
  const directory = given ?? (await upRig(2))
  const down = async () => {
    if (given === undefined) await downRig(directory)
  }
  try {
    const [a, b] = [hostAt(directory, 0), hostAt(directory, 1)]
    for (const [number, host] of [a, b].entries()) await install(host, number)
    return { a, b, isOwn: given === undefined, down }
  } catch (error) {
    await down()
    throw error
  }
}

function hostAt(directory: string, number: number): PairHost {
  const httpSocket = path.join(directory, `host${number}`, 'http.sock')
  return { ...rigAt(directory, number), address: `10.99.0.${number + 2}`, httpSocket }
}

/** As good as installed: serves. */
async function install(host: PairHost, number: number): Promise<void> {
  // Two hosts at once are more than a small machine emulates in the usual time.
  await host.write(PATIENT_UNIT, '[Service]\nTimeoutStartSec=10min\n')
  await runRig('install', host.directory, `${number}`)
  await until(async () => (await host.http('GET', '/readyz').catch(() => undefined))?.status === 200, START_TIMEOUT_MS)
}
