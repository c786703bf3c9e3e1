import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import type { NodeClient } from '../control-plane/node-client.ts'
import { median, printTable, verdict } from './measure.ts'

const exec = promisify(execFile)
const COUNT = 15

export interface CreateVmBench {
  readonly node: NodeClient
  readonly poolId: string
  /** A qcow2 image inside the pool. */
  readonly image: string
  /** Where the script keeps its files; on the same file system as the pool. */
  readonly directory: string
  readonly libvirtUri: string
  readonly domainType: string
}

/** CreateVM of the agent beside a shell script of qemu-img create, xorriso and virsh define that makes the same VM; interleaved. */
export async function benchCreateVm(bench: CreateVmBench): Promise<void> {
  const script = await writeScript(bench)
  const ours: number[] = []
  const theirs: number[] = []
  for (let index = 0; index < COUNT; index++) {
    const vmId = randomUUID()
    ours.push(await timed(() => bench.node.call('CreateVM', request(bench, vmId, `bench-${index}`), 120_000)))
    await bench.node.call('DeleteVM', { vmId }, 120_000)
    const peer = randomUUID()
    theirs.push(await timed(() => exec(script, [peer, `peer-${index}`])))
    await exec('virsh', ['-c', bench.libvirtUri, 'undefine', peer])
  }
  const ratio = median(ours) / median(theirs)
  printTable(
    `create a VM (overlay, seed, define), ms, ${COUNT} each, interleaved`,
    ['', 'median', 'max', 'ratio', 'target', ''],
    [
      [
        'qemu-img create + xorriso + virsh define',
        median(theirs).toFixed(0),
        Math.max(...theirs).toFixed(0),
        '1.00',
        '',
        '',
      ],
      [
        'limiquantix-node CreateVM',
        median(ours).toFixed(0),
        Math.max(...ours).toFixed(0),
        ratio.toFixed(2),
        '<= 1.10',
        verdict(ratio <= 1.1),
      ],
    ],
  )
}

function request(bench: CreateVmBench, vmId: string, name: string): object {
  return {
    vmId,
    name,
    spec: {
      cpuCores: 1,
      memoryMib: 256,
      disks: [{ id: 'root', sizeGib: 8, backingFile: bench.image, poolId: bench.poolId }],
      nics: [{ id: 'lan', network: 'default' }],
      cloudInit: { userData: '#cloud-config\nhostname: bench\n', metaData: `instance-id: ${vmId}\n` },
    },
  }
}

async function writeScript(bench: CreateVmBench): Promise<string> {
  const file = path.join(bench.directory, 'create-vm.sh')
  await rm(bench.directory, { recursive: true, force: true })
  await mkdir(bench.directory, { recursive: true })
  await writeFile(
    file,
    `#!/bin/sh
# usage: create-vm.sh UUID NAME
set -e
dir='${bench.directory}'/$2; rm -rf "$dir"; mkdir -p "$dir/seed"
qemu-img create -q -f qcow2 -b '${bench.image}' -F qcow2 "$dir/root.qcow2" 8G
printf '#cloud-config\\nhostname: bench\\n' > "$dir/seed/user-data"; printf 'instance-id: %s\\n' "$1" > "$dir/seed/meta-data"
xorriso -as genisoimage -quiet -V cidata -J -r -o "$dir/seed.iso" "$dir/seed" 2>/dev/null
cat > "$dir/domain.xml" <<X
<domain type='${bench.domainType}'><name>$2</name><uuid>$1</uuid><memory unit='MiB'>256</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/><apic/></features>
<devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$dir/root.qcow2'/><target dev='vda' bus='virtio'/></disk>
<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='$dir/seed.iso'/><target dev='sda' bus='sata'/><readonly/></disk>
<interface type='user'><model type='virtio'/></interface><serial type='pty'/><graphics type='vnc' listen='127.0.0.1'/>
<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel><rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
</devices></domain>
X
virsh -q -c '${bench.libvirtUri}' define "$dir/domain.xml" > /dev/null
`,
  )
  await chmod(file, 0o755)
  return file
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now()
  await work()
  return performance.now() - started
}
