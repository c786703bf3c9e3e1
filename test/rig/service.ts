import { setTimeout as pause } from 'node:timers/promises'
import { quote, type Rig } from './rig.ts'

const UNIT = 'limiquantix-node.service'
const DROP_INS = `/run/systemd/system/${UNIT}.d`

/** The agent's unit as systemd on the host sees it. */
export interface AgentService {
  /** Properties of `systemctl show` by name; an unknown one is the empty string. */
  properties<const Name extends string>(...names: readonly Name[]): Promise<Readonly<Record<Name, string>>>
  /** start, stop, restart, kill …; resolves when systemd has done it. */
  control(verb: string, ...args: readonly string[]): Promise<void>
  /** Main process id of the unit when it is active under another one than `former`; waits up to `timeoutMs` for that. */
  restarted(former: string, timeoutMs?: number): Promise<string>
  /** Waits until the properties are these. */
  becomes(expected: Readonly<Record<string, string>>, timeoutMs?: number): Promise<void>
  /** Adds settings to the unit until `dropInsGone`; takes effect at the next start, watchdog settings included. */
  dropIn(name: string, settings: string): Promise<void>
  dropInsGone(): Promise<void>
  /** What the agent itself (not systemd) wrote into the journal, in this run of the unit or, with `all`, ever. */
  journal(all?: boolean): Promise<readonly string[]>
}

/** The service on the rig's host. */
export function agentService(rig: Rig): AgentService {
  const properties: AgentService['properties'] = async (...names) => {
    const text = await rig.exec(`systemctl show ${UNIT} ${names.map((name) => `--property=${name}`).join(' ')}`)
    const found = new Map(text.split('\n').map((line) => [line.split('=', 1)[0], line.slice(line.indexOf('=') + 1)]))
    return Object.fromEntries(names.map((name) => [name, found.get(name) ?? ''])) as Record<
      (typeof names)[number],
      string
    >
  }
  // Systemd announces these changes to nobody outside the host.
  const poll = async (timeoutMs: number, done: () => Promise<string | undefined>, what: string): Promise<string> => {
    const deadline = performance.now() + timeoutMs
    for (;;) {
      const value = await done()
      if (value !== undefined) return value
      if (performance.now() > deadline) {
        throw new Error(
          `${what} within ${timeoutMs / 1000} s\n${(await rig.tryExec(`systemctl status --no-pager ${UNIT}`)).stdout}`,
        )
      }
      await pause(250)
    }
  }
  return {
    properties,
    async control(verb, ...args) {
      await rig.exec(`systemctl ${verb} ${UNIT} ${args.map(quote).join(' ')}`, { timeoutMs: 120_000 })
    },
    restarted: (former, timeoutMs = 150_000) =>
      poll(
        timeoutMs,
        async () => {
          const { MainPID, ActiveState } = await properties('MainPID', 'ActiveState')
          return ActiveState === 'active' && MainPID !== former ? MainPID : undefined
        },
        `the unit did not come back as another process than ${former}`,
      ),
    async becomes(expected, timeoutMs = 150_000) {
      const names = Object.keys(expected)
      await poll(
        timeoutMs,
        async () => {
          const now = await properties(...names)
          return names.every((name) => now[name] === expected[name]) ? '' : undefined
        },
        `the unit did not become ${JSON.stringify(expected)}`,
      )
    },
    async dropIn(name, settings) {
      await rig.write(`${DROP_INS}/${name}.conf`, settings)
      await rig.exec('systemctl daemon-reload')
    },
    async dropInsGone() {
      await rig.exec(`rm -rf ${DROP_INS} && systemctl daemon-reload`)
    },
    async journal(all = false) {
      const { InvocationID } = await properties('InvocationID')
      const run = all ? '' : `_SYSTEMD_INVOCATION_ID=${InvocationID}`
      const text = await rig.exec(`journalctl --sync; journalctl --no-pager --output=cat _SYSTEMD_UNIT=${UNIT} ${run}`)
      return text.split('\n').filter((line) => line !== '')
    },
  }
}
