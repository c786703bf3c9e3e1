/**
 * Every figure of the agent beside its named peer, in one run: `npm run bench`, as root, on a host prepared by scripts/test or scripts/quickstart. Names of sections
 * as arguments (start idle grpc download create) run only these.
 */
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { arch, cpus, release, totalmem } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { NodeClient } from '../control-plane/node-client.ts'
import { startStandInControlPlane } from '../control-plane/stand-in.ts'
import { startAgent } from '../support/agent-process.ts'
import { until } from '../support/until.ts'
import { benchCreateVm } from './create-vm.ts'
import { benchDownload } from './download.ts'
import { benchGrpc } from './grpc-load.ts'
import { benchIdle, benchStart } from './start-and-idle.ts'

const exec = promisify(execFile)
const root = path.join(import.meta.dirname, '..', '..')
const libvirtHost = path.join(root, 'scripts', 'libvirt-host')
const wanted = new Set(process.argv.slice(2))
const wants = (section: string) => wanted.size === 0 || wanted.has(section)

// A real disk, not a tmpfs: downloads and VM creation are about durable bytes.
const directory = await mkdtemp('/var/tmp/lqx-bench-')
await chmod(directory, 0o711)
const libvirtDir = path.join(directory, 'libvirt')
const poolId = randomUUID()
const pool = path.join(directory, 'pool')
const image = path.join(pool, 'base.qcow2')

process.stdout.write(
  `limiquantix-node bench on ${cpus().length} x ${cpus()[0]?.model ?? 'unknown CPU'}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Linux ${release()} ${arch()}, Node ${process.version}\n`,
)
const controlPlane = await startStandInControlPlane({})
await mkdir(libvirtDir)
await exec(libvirtHost, ['up', libvirtDir, '--domain-type', 'qemu'])
try {
  const libvirtUri = `qemu+unix:///system?socket=${libvirtDir}/run/libvirt-sock`
  const config = {
    hypervisor: { libvirt_uri: libvirtUri, domain_type: 'qemu', networks: { default: 'user' } },
    control_plane: { address: controlPlane.url, registration_enabled: true },
    downloads: { allow_private_addresses: true, allowed_dirs: [path.join(directory, 'downloads')] },
    log: { level: 'warn' },
  }
  if (wants('start')) {
    await exec(process.execPath, [path.join(root, 'scripts', 'build.ts')])
    await benchStart(directory, { ...config, log: { level: 'info' } })
  }
  if (wants('download')) {
    // An agent of its own: memory is what a download takes, not what other figures left behind.
    const downloader = await startAgent({
      directory: path.join(directory, 'downloader'),
      config: { ...config, log: { level: 'info' } },
    })
    await benchDownload({ agent: downloader, directory: path.join(directory, 'downloads'), sizeBytes: 2 ** 31 })
    await downloader.stop()
  }
  const agent = await startAgent({
    directory: path.join(directory, 'agent'),
    config: { ...config, log: { level: 'info' } },
  })
  const node = new NodeClient(agent.grpcAddress)
  try {
    await until(async () => (await node.call<{ healthy: boolean }>('HealthCheck', {})).healthy)
    await node.call('InitStoragePool', {
      poolId,
      type: 'STORAGE_POOL_TYPE_LOCAL_DIR',
      config: { local: { path: pool } },
    })
    await exec('qemu-img', ['create', '-q', '-f', 'qcow2', image, '2G'])
    if (wants('idle')) await benchIdle(agent.pid)
    if (wants('grpc')) await benchGrpc(agent.grpcAddress)
    if (wants('create')) {
      await benchCreateVm({
        node,
        poolId,
        image,
        directory: path.join(directory, 'script'),
        libvirtUri,
        domainType: 'qemu',
      })
    }
  } finally {
    node.close()
    await agent.stop()
  }
} finally {
  await controlPlane.close()
  await exec(libvirtHost, ['down', libvirtDir])
  await rm(directory, { recursive: true, force: true })
}
