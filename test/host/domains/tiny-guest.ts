import { execFile } from 'node:child_process'
import { chmod, cp, mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import type { PrerequisiteProbe } from '../require.ts'

const run = promisify(execFile)

/** A kernel and its modules: installed, or in a Debian package that `scripts/rig` left in its cache. */
interface Kernel {
  readonly image: string
  readonly modules: string
}

const MODULES = [
  'virtio_ring',
  'virtio',
  'virtio_pci_legacy_dev',
  'virtio_pci_modern_dev',
  'virtio_pci',
  'virtio_console',
  'virtio_blk',
  'scsi_common',
  'scsi_mod',
  'virtio_scsi',
  'cdrom',
  'sr_mod',
]
const PACKAGE = 'linux-image-cloud-amd64'

// qemu-ga runs programs by PATH; shutdown(8) is what it calls to end the guest.
const START = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/sbin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in ${MODULES.join(' ')}; do [ ! -e /modules/$module.ko ] || insmod /modules/$module.ko; done
echo tiny-guest >/proc/sys/kernel/hostname
ip link set lo up
until name=$(grep -lx org.qemu.guest_agent.0 /sys/class/virtio-ports/*/name 2>/dev/null); do sleep 0.1; done
port=/dev/$(basename $(dirname $name))
echo "a line of the agent" >/var/log/qemu-ga.log
`

/** What is behind the channel of a guest: the real qemu-ga, a program that never answers, or one that answers nonsense. */
export type AgentKind = 'real' | 'silent' | 'lying'

const AGENTS: Readonly<Record<AgentKind, string>> = {
  real: 'while :; do qemu-ga -m virtio-serial -p $port -t /run -f /run/ga.pid; sleep 0.2; done\n',
  silent: 'exec 3<>$port; while :; do sleep 1000; done\n',
  // It takes part in the handshake, which has an id to repeat.
  lying: `exec 3<>$port
while read -r line <&3; do
  case $line in
    *guest-sync*) id=\${line##*:}; id=\${id%%\\}*}; echo "{\\"return\\": $id}" >&3 ;;
    *) echo '{"return": "nonsense"}' >&3 ;;
  esac
done
`,
}
const SHUTDOWN = `#!/bin/busybox sh
case " $* " in *" -r "*) reboot -f ;; *) poweroff -f ;; esac
`

/** Why no such guest can be made here; downloads the kernel's package when it is not there. */
export const missingKernel: PrerequisiteProbe = async () => {
  try {
    await run('apt-cache', ['show', PACKAGE])
  } catch {
    return `apt knows no ${PACKAGE}`
  }
  return undefined
}

/** Makes `vmlinuz` and `initrd.gz` of a guest in `directory`: a real Linux with busybox and the qemu-ga of this host, up in seconds even emulated. */
export async function makeTinyGuest(directory: string): Promise<{ kernel: string; initrd: string }> {
  const { image, modules } = await fetchKernel(directory)
  const root = path.join(directory, 'root')
  for (const each of ['bin', 'sbin', 'proc', 'sys', 'dev', 'etc', 'tmp', 'run', 'modules', 'var/run', 'var/log']) {
    await mkdir(path.join(root, each), { recursive: true })
  }
  await cp('/usr/bin/busybox', path.join(root, 'bin/busybox'))
  await copyProgram('/usr/sbin/qemu-ga', root)
  const files = await readdir(modules, { recursive: true })
  for (const name of MODULES) {
    const file = files.find((each) => each.endsWith(`/${name}.ko`))
    if (file !== undefined) await cp(path.join(modules, file), path.join(root, 'modules', `${name}.ko`))
  }
  await writeFile(path.join(root, 'etc/os-release'), 'ID=tiny\nNAME="Tiny Linux"\nVERSION="1"\nVERSION_ID=1\n')
  await writeFile(path.join(root, 'etc/passwd'), 'root:x:0:0:root:/:/bin/sh\n')
  await writeFile(path.join(root, 'etc/group'), 'root:x:0:\n')
  for (const [name, text] of [
    ...Object.entries(AGENTS).map(([kind, text]) => [kind, START + text] as const),
    ['sbin/shutdown', SHUTDOWN],
  ] as const) {
    await writeFile(path.join(root, name), text)
    await chmod(path.join(root, name), 0o755)
  }
  const initrd = path.join(directory, 'initrd.gz')
  await run('sh', ['-c', 'cd "$1" && find . | cpio -o -H newc --quiet | gzip -1 >"$2"', 'sh', root, initrd])
  await rm(root, { recursive: true })
  const kernel = path.join(directory, 'vmlinuz')
  await cp(image, kernel)
  for (const file of [kernel, initrd]) await chmod(file, 0o644)
  return { kernel, initrd }
}

async function fetchKernel(directory: string): Promise<Kernel> {
  const cache = path.join(process.env['LIMIQUANTIX_CACHE'] ?? '/var/cache/limiquantix', 'guest-kernel')
  await mkdir(cache, { recursive: true })
  const isPackage = (name: string) => name.startsWith('linux-image-') && name.endsWith('.deb')
  if (!(await readdir(cache)).some(isPackage)) {
    const { stdout } = await run('apt-cache', ['depends', PACKAGE])
    const name = /Depends: (linux-image-\S+)/.exec(stdout)?.[1] ?? PACKAGE
    await run('apt-get', ['-qq', '-o', 'APT::Sandbox::User=root', 'download', name], { cwd: cache, timeout: 300_000 })
  }
  const file = (await readdir(cache)).find(isPackage) ?? ''
  const tree = path.join(directory, 'kernel')
  await run('dpkg-deb', ['-x', path.join(cache, file), tree])
  const image = (await readdir(path.join(tree, 'boot'))).find((name) => name.startsWith('vmlinuz')) ?? ''
  return { image: path.join(tree, 'boot', image), modules: path.join(tree, 'lib/modules') }
}

async function copyProgram(file: string, root: string): Promise<void> {
  const { stdout } = await run('ldd', [file])
  for (const library of stdout.match(/\/\S+/g) ?? []) {
    await mkdir(path.dirname(path.join(root, library)), { recursive: true })
    await cp(library, path.join(root, library), { dereference: true })
  }
  await cp(file, path.join(root, 'bin', path.basename(file)))
}

/** The definition of a tiny guest. */
export function tinyGuestDomain(uuid: string, kind: AgentKind, files: { kernel: string; initrd: string }): string {
  return `<domain type='qemu'><name>tiny-${kind}</name><uuid>${uuid}</uuid><memory unit='MiB'>128</memory>
    <os><type arch='x86_64' machine='q35'>hvm</type><kernel>${files.kernel}</kernel><initrd>${files.initrd}</initrd>
      <cmdline>console=ttyS0 quiet panic=-1 rdinit=/${kind}</cmdline></os>
    <features><acpi/></features><cpu mode='maximum'/><on_reboot>restart</on_reboot>
    <devices><serial type='pty'/><channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel></devices></domain>`
}
