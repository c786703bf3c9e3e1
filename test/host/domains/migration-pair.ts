import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import type { MigrationRequest, VmSpec } from '../../../src/core/model.ts'
import { freePort } from '../../support/free-port.ts'
import { endAgent, makeBase, newDisk, removeBase, vmRequest, waitForBoot, within } from './agent-fixture.ts'
import { makeBootImage } from './boot-sector.ts'
import {
  LISTEN_HOST,
  openMigrationHost,
  SHARED,
  type MigrationHost,
  type MigrationHostOptions,
} from './migration-host.ts'
import { downLibvirtd, upLibvirtd } from './private-libvirtd.ts'

const run = promisify(execFile)
const CHILD = path.join(import.meta.dirname, 'migration-child.ts')

type HostOptions = Partial<MigrationHostOptions>
type Side = 'a' | 'b'

/** Two hosts, each with a libvirt of its own, and a directory that both see. Their agents can be opened and closed as often as a test needs. */
export class MigrationPair {
  readonly shared: string
  readonly libvirt: Readonly<Record<Side, string>>
  readonly base: Readonly<Record<Side, string>>
  readonly port: Readonly<Record<Side, number>>
  readonly #open = new Map<Side, MigrationHost>()

  private constructor(part: Pick<MigrationPair, 'shared' | 'libvirt' | 'base' | 'port'>) {
    this.shared = part.shared
    this.libvirt = part.libvirt
    this.base = part.base
    this.port = part.port
  }

  /** `libvirtDir` is that of the first; the other one is started. */
  static async up(libvirtDir: string): Promise<MigrationPair> {
    const shared = await mkdtemp(path.join(tmpdir(), 'lqx-shared-'))
    await chmod(shared, 0o711)
    const base = { a: await makeBase(), b: await makeBase() }
    for (const directory of [base.a, base.b, shared])
      await makeBootImage(path.join(directory, 'images/boot.qcow2'), 'echoes')
    const port = { a: await freePort(LISTEN_HOST), b: await freePort(LISTEN_HOST) }
    return new MigrationPair({ shared, base, port, libvirt: { a: libvirtDir, b: await upLibvirtd() } })
  }

  /** The agent of a host, as a fresh process opens it; the same one until it is closed. */
  async host(side: Side, options: HostOptions = {}): Promise<MigrationHost> {
    const open = this.#open.get(side)
    if (open !== undefined) return open
    const { shared, port, libvirt, base } = this
    const host = await openMigrationHost(base[side], libvirt[side], {
      shared,
      port: port[side],
      sharedAs: `host-${side}`,
      ...options,
    })
    this.#open.set(side, host)
    return host
  }

  async close(side: Side): Promise<void> {
    await this.#open.get(side)?.close()
    this.#open.delete(side)
  }

  /** The agent of a host in a process of its own, which is killed at `point`: a source with a `request`, a target that serves without. */
  child(side: Side, point: string, request?: MigrationRequest) {
    const { base, libvirt, shared, port } = this
    const json = request === undefined ? '' : JSON.stringify(request)
    const args = [CHILD, base[side], libvirt[side], shared, String(port[side]), point, side, json]
    const process_ = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    return {
      serving: once(process_.stdout, 'data'),
      ended: once(process_, 'exit') as Promise<[number | null, string | null]>,
    }
  }

  /** A guest that echoes, on a host, with one disk over an image in the same pool. */
  async running(side: Side, poolId: string): Promise<string> {
    const vmId = await this.off(side, poolId)
    const host = await this.host(side)
    await host.vms.start(vmId, within())
    await waitForBoot(host, vmId)
    return vmId
  }

  /** The same, not started yet. */
  async off(side: Side, poolId: string, spec: Partial<VmSpec> = {}): Promise<string> {
    const host = await this.host(side)
    const image = path.join(poolId === SHARED ? this.shared : host.base, 'images/boot.qcow2')
    const request = vmRequest(
      {},
      {
        disks: [newDisk({ poolId, sizeBytes: 4 * 1024 * 1024, bootable: true, backingFile: image })],
        cloudInit: { userData: '#cloud-config\nhostname: moves\n', metaData: '', networkConfig: '', vendorData: '' },
        ...spec,
      },
    )
    await host.vms.create(request, within())
    // libvirt gives files back to root when a guest leaves, unless their file system is one that it knows to be shared; a directory of this host is none.
    if (poolId === SHARED) await run('chmod', ['-R', 'a+rwX', path.join(this.shared, 'vms')])
    return request.vmId
  }

  /** The host that has a VM's lease in the shared pool. */
  async leaseHolder(vmId: string): Promise<string | undefined> {
    const directory = path.join(this.shared, '.limiquantix/leases')
    for (const name of await readdir(directory).catch(() => [])) {
      const text = name.includes(vmId) ? await readFile(path.join(directory, name), 'utf8').catch(() => '') : ''
      const holder = /"holder": *"([^"]+)"/.exec(text)?.[1]
      if (holder !== undefined) return holder
    }
    return undefined
  }

  /** What is left in the shared pool of VMs. */
  async sharedVolumes(): Promise<string[]> {
    return readdir(path.join(this.shared, 'vms')).catch(() => [])
  }

  async down(): Promise<void> {
    for (const side of ['a', 'b'] as const) {
      await endAgent(await this.host(side)).catch(() => undefined)
      await this.close(side).catch(() => undefined)
      await removeBase(this.base[side])
    }
    await downLibvirtd(this.libvirt.b)
    await rm(this.shared, { recursive: true, force: true })
  }
}
