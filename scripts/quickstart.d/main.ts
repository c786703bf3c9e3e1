/**
 * The main job, only through the agent's own interfaces: pool, image download, VM with cloud-init, boot, proof from inside the guest, heartbeat. Started by
 * scripts/quickstart, which prepares libvirt and the image and passes everything in QS_* variables.
 */
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { stringify } from 'yaml'
import { NodeClient } from '../../test/control-plane/node-client.ts'
import { startStandInControlPlane } from '../../test/control-plane/stand-in.ts'
import { startAgent } from '../../test/support/agent-process.ts'
import { Fatal, http, until } from './http.ts'
import { StepReport } from './report.ts'

const need = (name: string): string => {
  const value = process.env[name]
  if (value === undefined || value === '') throw new Error(`${name} is not set: start this through scripts/quickstart`)
  return value
}

const workDir = need('QS_WORK_DIR')
const keep = process.env['QS_KEEP'] === '1'
const imageUrl = need('QS_IMAGE_URL')
const imageSha256 = process.env['QS_IMAGE_SHA256'] ?? ''
const libvirtSocket = need('QS_LIBVIRT_SOCKET')
const domainType = need('QS_DOMAIN_TYPE')
const isForeignImage = process.env['QS_FOREIGN_IMAGE'] === '1'
const logDir = process.env['QS_LOG_DIR'] ?? workDir

// Most published cloud images come without the guest agent, and it is what tells us about the guest.
const INSTALL_GUEST_AGENT = `command -v qemu-ga || {
  if command -v apt-get; then apt-get update && apt-get install -y qemu-guest-agent
  elif command -v dnf; then dnf install -y qemu-guest-agent
  elif command -v zypper; then zypper -n install qemu-guest-agent; fi
}
systemctl start qemu-guest-agent || true`

const poolId = randomUUID()
const vmId = randomUUID()
const vmName = 'quickstart'
const hostname = 'quickstart-vm'
const marker = `limiquantix ${vmId}`
const poolDir = path.join(workDir, 'pool')
const macAddress = '52:54:00:6c:71:01'
const report = new StepReport()

await mkdir(logDir, { recursive: true })
const agentLog = path.join(logDir, 'agent.log')
const controlPlane = await startStandInControlPlane({ heartbeatIntervalSecs: 5 })
const agent = await startAgentStep()
const node = new NodeClient(agent.grpcAddress)
try {
  await mainJob()
  process.stdout.write(`\n${report.table()}\n`)
  await showHeartbeat()
  if (keep) await stayUp()
  await removeAll()
} catch (error) {
  process.stderr.write(`\nquickstart failed: ${(error as Error).message}\nThe agent's log: ${agentLog}\n`)
  process.stderr.write(`${(await readFile(agentLog, 'utf8')).split('\n').slice(-12).join('\n')}\n`)
  process.exitCode = 1
} finally {
  node.close()
  await agent.stop()
  await controlPlane.close()
  process.exit()
}

async function startAgentStep() {
  let started: Awaited<ReturnType<typeof startAgent>> | undefined
  await report.step('start the agent', async () => {
    started = await startAgent({
      directory: path.join(workDir, 'agent'),
      logFile: agentLog,
      config: {
        server: { listen_address: '127.0.0.1:0', http: { listen_address: '127.0.0.1:0' } },
        hypervisor: {
          libvirt_uri: `qemu+unix:///system?socket=${libvirtSocket}`,
          domain_type: domainType,
          networks: { default: 'user' },
        },
        control_plane: { address: controlPlane.url, registration_enabled: true, heartbeat_interval_secs: 10 },
        // The image comes from a server on this machine.
        downloads: { allow_private_addresses: true },
      },
    })
    return `pid ${started.pid}, gRPC ${started.grpcAddress}, HTTP ${started.httpUrl}`
  })
  if (started === undefined) throw new Error('unreachable')
  return started
}

async function mainJob(): Promise<void> {
  let imagePath = ''
  await report.step('ask the host (gRPC HealthCheck)', async () => {
    const health = await until('libvirt connection', 60_000, 200, async () => {
      const answer = await node.call<{
        healthy: boolean
        hypervisor: string
        hypervisorVersion: string
        version: string
      }>('HealthCheck', {})
      return answer.hypervisorVersion === '' ? undefined : answer
    })
    return `agent ${health.version}, ${health.hypervisor} ${health.hypervisorVersion}, guests run by ${domainType === 'kvm' ? 'KVM' : 'emulation'}`
  })
  await report.step('create a storage pool (gRPC InitStoragePool)', async () => {
    const pool = await node.call<{ mountPath: string; availableBytes: number }>('InitStoragePool', {
      poolId,
      type: 'STORAGE_POOL_TYPE_LOCAL_DIR',
      config: { local: { path: poolDir } },
    })
    return `${pool.mountPath}, ${(pool.availableBytes / 2 ** 30).toFixed(1)} GiB free`
  })
  await report.step('download the cloud image (HTTP POST /api/v1/images/download)', async (progress) => {
    const job = await http<{ jobId: string }>('POST', `${agent.httpUrl}/api/v1/images/download`, {
      catalogId: 'debian-12',
      imageId: randomUUID(),
      url: imageUrl,
      targetDir: path.join(poolDir, 'cloud-images'),
      poolId,
      checksum: imageSha256,
    })
    const done = await until('the download', 3_600_000, 200, async () => {
      const now = await http<DownloadStatus>('GET', `${agent.httpUrl}/api/v1/images/download/${job.jobId}`)
      if (now.status === 'failed') throw new Fatal(`download failed: ${now.errorMessage ?? 'no reason given'}`)
      progress(
        now.progressPercent / 100,
        `${now.progressPercent} %  ${mib(now.bytesDownloaded)} of ${mib(now.bytesTotal)}`,
      )
      return now.status === 'completed' ? now : undefined
    })
    imagePath = done.targetPath
    return `${imagePath}, ${mib(done.bytesDownloaded)}${imageSha256 === '' ? '' : ', sha256 verified'}`
  })
  await report.step('create the VM (gRPC CreateVM)', async () => {
    const answer = await node.call<{ vmId: string; created: boolean }>('CreateVM', await vmRequest(imagePath), 300_000)
    return `${vmName} ${answer.vmId}, overlay on the image, cloud-init seed`
  })
  await report.step('start the VM (gRPC StartVM)', async () => {
    await node.call('StartVM', { vmId }, 300_000)
    const { state } = await node.call<{ state: string }>('GetVMStatus', { vmId })
    return `state ${state}`
  })
  await report.step('wait for cloud-init in the guest', async (progress) => {
    await guestReady(progress)
    const seen = await guest('cat', '/etc/limiquantix-marker')
    if (seen.trim() !== marker) throw new Error(`the marker file has ${JSON.stringify(seen)}`)
    const name = (await guest('hostname')).trim()
    if (name !== hostname) throw new Error(`the guest calls itself ${JSON.stringify(name)}`)
    const keys = await guest('cat', '/home/admin/.ssh/authorized_keys')
    if (!keys.includes((await publicKey()).trim())) throw new Error('the ssh key is not in the guest')
    return `status: done, hostname ${name}, user admin with the ssh key, marker file in place`
  })
}

async function guestReady(progress: (fraction: number, text: string) => void): Promise<void> {
  const started = performance.now()
  await until('cloud-init', 600_000, 1_000, async () => {
    const seconds = (performance.now() - started) / 1000
    const ping = await http<{ available: boolean }>('GET', `${agent.httpUrl}/api/v1/vms/${vmId}/qemu-agent/ping`)
    const text = ping.available ? (await guest('cloud-init', 'status')).trim() : 'booting, guest agent is not up yet'
    progress(Math.min(0.95, seconds / 90), `${seconds.toFixed(0)} s  ${text}`)
    if (text.includes('status: error'))
      throw new Fatal(`cloud-init failed: ${await guest('cloud-init', 'status', '--long')}`)
    return text.includes('status: done') ? true : undefined
  })
}

async function guest(command: string, ...args: string[]): Promise<string> {
  const answer = await http<{ success: boolean; exitCode?: number; stdout?: string; error?: string }>(
    'POST',
    `${agent.httpUrl}/api/v1/vms/${vmId}/qemu-agent/exec`,
    { command, args, timeout: 30 },
  )
  if (!answer.success && answer.stdout === undefined) throw new Error(`guest ${command}: ${answer.error ?? 'failed'}`)
  return answer.stdout ?? ''
}

async function vmRequest(backingFile: string): Promise<object> {
  const userData = `#cloud-config\n${stringify({
    hostname,
    users: [
      {
        name: 'admin',
        shell: '/bin/bash',
        sudo: 'ALL=(ALL) NOPASSWD:ALL',
        lock_passwd: true,
        ssh_authorized_keys: [await publicKey()],
      },
    ],
    write_files: [{ path: '/etc/limiquantix-marker', content: `${marker}\n` }],
    ...(isForeignImage ? { runcmd: [INSTALL_GUEST_AGENT] } : {}),
  })}`
  const networkConfig = stringify({
    version: 2,
    ethernets: { lan: { match: { macaddress: macAddress }, dhcp4: true } },
  })
  return {
    vmId,
    name: vmName,
    labels: { purpose: 'quickstart' },
    spec: {
      cpuCores: 2,
      memoryMib: 512,
      guestOs: 'debian',
      disks: [{ id: 'root', sizeGib: 4, backingFile, poolId, bootable: true }],
      nics: [{ id: 'lan', macAddress, network: 'default' }],
      cloudInit: { userData, metaData: stringify({ 'instance-id': vmId, 'local-hostname': hostname }), networkConfig },
    },
  }
}

async function publicKey(): Promise<string> {
  const file = path.join(workDir, 'id_ed25519')
  try {
    return await readFile(`${file}.pub`, 'utf8')
  } catch {
    await promisify(execFile)('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'quickstart', '-f', file])
    return readFile(`${file}.pub`, 'utf8')
  }
}

async function showHeartbeat(): Promise<void> {
  process.stdout.write('\nwaiting for a heartbeat that tells of the VM and its disk ...\n')
  const beat = await controlPlane.waitForHeartbeatThat(
    (body) =>
      body.runningVmCount === 1 && body.storagePools.some((pool) => pool.poolId === poolId && pool.volumeCount > 0),
    AbortSignal.timeout(60_000),
  )
  process.stdout.write(`\nThe heartbeat a control plane received:\n${JSON.stringify(beat, undefined, 2)}\n`)
}

// Tells the script in front of us that all is up, and waits for its `--stop`.
async function stayUp(): Promise<void> {
  process.stdout.write(`
Everything stays up. Try:
  curl -s ${agent.httpUrl}/api/v1/vms
  curl -s ${agent.httpUrl}/api/v1/storage/pools
  curl -s ${agent.httpUrl}/api/v1/openapi.json
  curl -s ${agent.httpUrl}/metrics
  grpcurl -plaintext ${agent.grpcAddress} list limiquantix.node.v1.NodeDaemonService
  virsh -c 'qemu+unix:///system?socket=${libvirtSocket}' console ${vmName}
  tail -f ${agentLog}
End it and remove everything:
  ./scripts/quickstart --stop
`)
  await writeFile(path.join(workDir, 'kept'), '')
  await new Promise<void>((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => resolve())
    // A pending promise alone does not keep a process alive; the agent's pipes do, but only while it lives.
    setInterval(() => undefined, 3_600_000)
  })
}

async function removeAll(): Promise<void> {
  process.stdout.write('\n')
  await report.step('remove everything again', async () => {
    await node.call('DeleteVM', { vmId }, 120_000)
    await node.call('DestroyStoragePool', { poolId }, 60_000)
    const { vms } = await node.call<{ vms: unknown[] }>('ListVMs', {})
    if (vms.length > 0) throw new Error(`${vms.length} VM(s) left`)
    await rm(poolDir, { recursive: true })
    return 'VM, disks, seed, pool and image are gone'
  })
  process.stdout.write(`
What to try next:
  ./scripts/quickstart --keep      leave it all running and look around
  ./scripts/test                   every test that can run on this host
  bin/limiquantix-node --help      run the agent yourself (docs/configuration.md)
`)
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`
}

interface DownloadStatus {
  readonly status: string
  readonly progressPercent: number
  readonly bytesDownloaded: number
  readonly bytesTotal: number
  readonly targetPath: string
  readonly errorMessage?: string | null
}
