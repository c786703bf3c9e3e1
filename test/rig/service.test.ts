import { randomUUID } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { makeBootImage } from '../host/domains/boot-sector.ts'
import { slowFault } from '../host/moments.ts'
import { requirePrerequisite } from '../host/require.ts'
import { NodeCallError } from '../control-plane/node-client.ts'
import { until } from '../support/until.ts'
import { agentService } from './service.ts'
import { missingRig, useRig } from './use-rig.ts'

const SECRET = 'correct-horse-battery-staple'
const POOL_PATH = '/srv/service-test'

interface Pool {
  readonly poolId: string
  readonly mountPath: string
}

describe.skipIf(await requirePrerequisite('rig', missingRig))('the agent as a service of systemd', () => {
  const rig = useRig()
  const service = agentService(rig)
  const poolId = randomUUID()

  beforeAll(async () => {
    await rig.node.call('InitStoragePool', {
      poolId,
      type: 'STORAGE_POOL_TYPE_LOCAL_DIR',
      config: { local: { path: POOL_PATH } },
    })
  })
  afterAll(async () => {
    await rig.node.call('DestroyStoragePool', { poolId })
    await rig.exec(`rm -rf ${POOL_PATH}`)
  })
  afterEach(() => service.dropInsGone())

  const mainPid = async () => (await service.properties('MainPID')).MainPID
  const poolsFound = async () => {
    const { pools } = await rig.node.call<{ pools: readonly Pool[] }>('ListStoragePools', {})
    return pools.filter((pool) => pool.poolId === poolId)
  }

  test('a start is over when the agent serves, and systemd shows its status', async () => {
    await service.control('restart')
    // No waiting in between: Type=notify means that it answers now.
    expect((await rig.http('GET', '/healthz')).status).toBe(200)
    expect(await service.properties('Type', 'ActiveState', 'SubState', 'StatusText', 'UnitFileState')).toEqual({
      Type: 'notify',
      ActiveState: 'active',
      SubState: 'running',
      StatusText: 'gRPC 10.99.0.2:9090, HTTP 10.99.0.2:8080',
      UnitFileState: 'enabled',
    })
    expect(await rig.exec('systemctl status --no-pager limiquantix-node')).toContain('Status: "gRPC 10.99.0.2:9090')
    expect((await rig.exec('systemctl is-system-running')).trim()).toBe('running')
  })

  test('image tools are confined by systemd, since the unit itself may make no namespaces', async () => {
    await service.control('restart')
    const line = await until(async () =>
      (await service.journal()).find((each) => each.includes('image tools are confined')),
    )
    expect(line).toContain('"confinement":"systemd"')
  })

  test('only addresses of allow_from reach it', async () => {
    const ask = (from: string) =>
      rig.tryExec(
        `node -e 'require("node:http").get({ host: "10.99.0.2", port: 8080, path: "/healthz", localAddress: "${from}", timeout: 10000 }, (r) => console.log(r.statusCode)).on("error", (e) => console.log(e.code))'`,
      )
    await rig.exec('ip address add 10.99.1.9/32 dev lo')
    try {
      // Without a listed address the connection is closed; nothing is answered.
      expect((await ask('10.99.1.9')).stdout.trim()).not.toBe('200')
      expect((await rig.http('GET', '/healthz')).status).toBe(200)
    } finally {
      await rig.exec('ip address del 10.99.1.9/32 dev lo')
    }
  })

  slowFault(
    'an agent that hangs is killed by the watchdog and started again',
    async () => {
      // The agent looks at itself every ten seconds, and has five for the answer: with less, an emulated host that is busy looks like one that hangs.
      await service.dropIn('watchdog', '[Service]\nWatchdogSec=20\n')
      await service.control('restart')
      const former = await mainPid()
      // Fed for longer than its limit, it lives.
      const fed = await rig.exec(`sleep 24; systemctl show --value --property=MainPID limiquantix-node`)
      expect(fed.trim()).toBe(former)
      await rig.exec(`kill -STOP ${former}`)
      await service.restarted(former)
      expect(await service.properties('NRestarts')).toEqual({ NRestarts: '1' })
      expect(await rig.exec('journalctl --no-pager --output=cat --unit=limiquantix-node')).toContain('Watchdog timeout')
      expect((await rig.http('GET', '/healthz')).status).toBe(200)
    },
    300_000,
  )

  test('a wrong configuration ends the unit with 78, names the key, and is not tried again', async () => {
    await rig.exec(
      'cp -p /etc/limiquantix/node.yaml /root/node.yaml.good && echo "serverr: {}" >>/etc/limiquantix/node.yaml',
    )
    try {
      expect((await rig.tryExec('systemctl restart limiquantix-node')).code).toBe(1)
      // "failed" is final; a unit that is going to be restarted is "activating".
      expect(await service.properties('ActiveState', 'SubState', 'ExecMainStatus', 'Result', 'NRestarts')).toEqual({
        ActiveState: 'failed',
        SubState: 'failed',
        ExecMainStatus: '78',
        Result: 'exit-code',
        NRestarts: '0',
      })
      expect((await service.journal(true)).at(-1)).toMatch(/serverr.*\[CONFIG_INVALID\]/)
    } finally {
      await rig.exec('mv /root/node.yaml.good /etc/limiquantix/node.yaml')
      await service.control('restart')
    }
    expect(await poolsFound()).toHaveLength(1)
  })

  describe('with a running guest', () => {
    const vmId = randomUUID()
    const guestPid = async () => (await rig.exec('cat /run/libvirt/qemu/service-guest.pid')).trim()
    // An agent that has just started serves before libvirt has answered it, and says so (UNAVAILABLE) rather than guess.
    const stateOfVm = () =>
      until(async () => {
        try {
          return (await rig.node.call<{ state: string }>('GetVMStatus', { vmId })).state
        } catch (error) {
          if (error instanceof NodeCallError && error.status === 14) return undefined
          throw error
        }
      })

    beforeAll(async () => {
      const directory = await mkdtemp(path.join(tmpdir(), 'lqx-boot-'))
      const image = path.join(directory, 'boot.qcow2')
      await makeBootImage(image, 'ignores')
      await rig.write(`${POOL_PATH}/boot.qcow2`, await readFile(image))
      await rm(directory, { recursive: true })
      await rig.node.call(
        'CreateVM',
        {
          vmId,
          name: 'service-guest',
          spec: {
            cpuCores: 1,
            memoryMib: 64,
            disks: [{ id: 'root', poolId, backingFile: `${POOL_PATH}/boot.qcow2`, bootable: true }],
            cloudInit: { userData: `#cloud-config\npassword: ${SECRET}\n` },
          },
        },
        120_000,
      )
      await rig.node.call('StartVM', { vmId }, 120_000)
    })
    afterAll(() => rig.node.call('DeleteVM', { vmId }, 120_000))

    test('it boots', async () => {
      await expect
        .poll(() => rig.exec(`cat /var/lib/limiquantix/vms/${vmId}/console.log`), { timeout: 120_000, interval: 500 })
        .toContain('BOOTED')
      expect(await stateOfVm()).toBe('POWER_STATE_RUNNING')
    })

    test('stopping the agent leaves it running, and the next agent takes it over', async () => {
      const before = await guestPid()
      expect(before).toMatch(/^\d+$/)
      await service.control('stop')
      expect(await service.properties('ActiveState', 'Result')).toEqual({ ActiveState: 'inactive', Result: 'success' })
      expect((await rig.exec('virsh -q domstate service-guest')).trim()).toBe('running')
      expect(await guestPid()).toBe(before)
      await service.control('start')
      expect(await stateOfVm()).toBe('POWER_STATE_RUNNING')
      expect(await guestPid()).toBe(before)
    })

    test('a killed agent is started again, knows its pools without a control plane, and the guest runs on', async () => {
      const before = await guestPid()
      const former = await mainPid()
      await rig.exec(`kill -KILL ${former}`)
      const now = await service.restarted(former)
      expect(await poolsFound()).toMatchObject([{ mountPath: POOL_PATH }])
      expect(await guestPid()).toBe(before)
      expect(await stateOfVm()).toBe('POWER_STATE_RUNNING')
      // Nothing of the former agent is left, its helper processes included: all that runs now are descendants of this one.
      const group = '/sys/fs/cgroup$(systemctl show --value --property=ControlGroup limiquantix-node)/cgroup.procs'
      const strangers = await rig.exec(`for pid in $(cat ${group}); do ps -o ppid= -o pid= $pid; done`)
      const processes = strangers
        .trim()
        .split('\n')
        .map((line) => line.trim().split(/ +/))
      const own = new Set(processes.map(([, pid]) => pid))
      expect(own).toContain(now)
      expect(processes.filter(([parent, pid]) => pid !== now && !own.has(parent))).toEqual([])
    })

    test('it starts on a host whose contexts of native AIO are used up, with threads for its I/O', async () => {
      const limit = (await rig.exec('sysctl -n fs.aio-max-nr')).trim()
      const ioModes = async () =>
        (await rig.exec(`virsh dumpxml service-guest | grep -o "io='[a-z]*'" | sort -u`)).trim()
      await rig.node.call('ForceStopVM', { vmId }, 120_000)
      await rig.exec('sysctl -q -w fs.aio-max-nr=0')
      try {
        await rig.node.call('StartVM', { vmId }, 240_000)
      } finally {
        await rig.exec(`sysctl -q -w fs.aio-max-nr=${limit}`)
      }
      expect(await stateOfVm()).toBe('POWER_STATE_RUNNING')
      expect(await ioModes()).toBe("io='threads'")
      expect((await service.journal()).filter((line) => line.includes('raise fs.aio-max-nr'))).toHaveLength(1)
    })

    test('the journal has JSON lines, at level debug too, and no secrets', async () => {
      const lines = await service.journal()
      expect(lines.length).toBeGreaterThan(0)
      for (const line of lines) {
        expect(JSON.parse(line)).toMatchObject({
          level: expect.any(String),
          time: expect.any(String),
          msg: expect.any(String),
        })
      }
      // Whatever unit wrote it, since the host was started.
      expect((await rig.tryExec(`journalctl --no-pager --output=cat | grep -c ${SECRET}`)).stdout.trim()).toBe('0')
      expect((await rig.tryExec(`grep -rl ${SECRET} /var/log /run/log 2>/dev/null`)).stdout).toBe('')
    })
  })
})
