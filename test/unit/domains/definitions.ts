import { GIB } from '../../../src/core/bytes.ts'
import { guestProfile } from '../../../src/domains/guest-profiles.ts'
import type { RbdSource } from '../../../src/core/model.ts'
import type {
  CdromDefinition,
  DiskDefinition,
  DomainDefinition,
  NicDefinition,
} from '../../../src/domains/definition.ts'

/** A disk definition with sensible values where `part` has none. */
export function disk(part: Partial<DiskDefinition> = {}): DiskDefinition {
  return {
    id: 'root',
    source: { type: 'file', path: '/pools/p1/vms/web_6f0c1a52/root.qcow2', format: 'qcow2' },
    backing: [],
    bus: 'virtio',
    driver: { cache: 'none', io: 'native' },
    readonly: false,
    bootable: false,
    sizeBytes: 10 * GIB,
    iopsLimit: 0,
    bytesPerSecondLimit: 0,
    poolId: 'p1',
    volume: 'vms/web_6f0c1a52/root',
    owned: true,
    ...part,
  }
}

/** A Ceph image with sensible values where `part` has none. */
export function rbd(part: Partial<RbdSource> = {}): RbdSource {
  return {
    type: 'network',
    protocol: 'rbd',
    name: 'guests/vms.web_6f0c1a52.root',
    monitors: [
      { host: '10.0.0.5', port: 6789 },
      { host: 'fd00::5', port: 3300 },
      { host: 'mon-c.example.org', port: 6789 },
    ],
    user: 'node-1',
    secretUuid: '0b0c7a52-0d0e-4a51-9a44-1f6a2a7c9b10',
    configFile: '/var/lib/limiquantix/secrets/ceph-p1.conf',
    format: 'raw',
    ...part,
  }
}

/** A NIC definition with sensible values where `part` has none. */
export function nic(part: Partial<NicDefinition> = {}): NicDefinition {
  return {
    id: 'nic0',
    macAddress: '52:54:00:01:02:03',
    model: 'virtio',
    target: { type: 'network', network: 'default' },
    ...part,
  }
}

/** A CD-ROM definition with sensible values where `part` has none. */
export function cdrom(part: Partial<CdromDefinition> = {}): CdromDefinition {
  return { id: 'cdrom0', path: '/pools/p1/iso/debian.iso', bootable: false, role: 'user', ...part }
}

/** A domain definition with sensible values where `part` has none. */
export function definition(part: Partial<DomainDefinition> = {}): DomainDefinition {
  return {
    vmId: '6f0c1a52-0d0e-4a51-9a44-1f6a2a7c9b10',
    name: 'web',
    type: 'qemu',
    topology: { sockets: 1, cores: 2, threads: 1 },
    memoryBytes: 2 * GIB,
    hugepages: false,
    firmware: 'bios',
    secureBoot: false,
    tpm: false,
    onCrash: 'restart',
    console: { vncPort: 0, spice: false, spicePort: 0 },
    guest: guestProfile('debian'),
    hyperv: [],
    bootOrder: ['root'],
    disks: [disk()],
    nics: [nic()],
    cdroms: [],
    consoleLogPath: '/var/lib/limiquantix/vms/6f0c1a52-0d0e-4a51-9a44-1f6a2a7c9b10/console.log',
    tbCacheBytes: 128 * 1024 * 1024,
    metadata: {
      agentVersion: '0.1.0',
      createdAt: '2026-01-02T03:04:05.000Z',
      specDigest: 'sha256:00',
      guestOs: 'debian',
      labels: { app: 'shop' },
    },
    ...part,
  }
}

/** Definitions that together use every part of the XML. */
export const definitionTable: readonly (readonly [string, DomainDefinition])[] = [
  ['a plain VM', definition()],
  [
    'KVM with UEFI',
    definition({
      type: 'kvm',
      emulator: '/usr/bin/qemu-system-x86_64',
      firmware: 'uefi',
      topology: { sockets: 2, cores: 4, threads: 2 },
    }),
  ],
  [
    'Windows on KVM',
    definition({
      type: 'kvm',
      guest: guestProfile('windows_desktop'),
      hyperv: guestProfile('windows_desktop').hyperv,
      hugepages: true,
    }),
  ],
  ['a Windows of old', definition({ type: 'kvm', guest: guestProfile('windows_legacy'), hyperv: ['relaxed'] })],
  ['FreeBSD on KVM', definition({ type: 'kvm', guest: guestProfile('freebsd') })],
  ['Secure Boot and a TPM', definition({ firmware: 'uefi', secureBoot: true, tpm: true })],
  ['a TPM with BIOS', definition({ tpm: true })],
  ['a named CPU', definition({ type: 'kvm', cpuModel: 'Skylake-Server-IBRS' })],
  ['the CPU of the host as a model', definition({ type: 'kvm', cpuModel: 'host-model' })],
  ['watchdog and another crash policy', definition({ watchdog: 'poweroff', onCrash: 'preserve' })],
  [
    'displays as wished',
    definition({ console: { vncPort: 5999, spice: true, spicePort: 6000 }, vncPassword: `&<"'>` }),
  ],
  [
    'threads for six virtio disks',
    definition({
      disks: ['a', 'b', 'c', 'd', 'e', 'f'].map((id) =>
        disk({ id, driver: { cache: 'none', io: 'native', iothread: true } }),
      ),
    }),
  ],
  ['a limited NIC', definition({ nics: [nic({ bandwidthMbps: 100 })] })],
  ["emulation with UEFI and QEMU's own cache", definition({ firmware: 'uefi', tbCacheBytes: 0 })],
  ['no device at all', definition({ disks: [], nics: [], bootOrder: [] })],
  [
    'a backing chain and limits',
    definition({
      disks: [
        disk({
          backing: [
            { type: 'file', path: '/pools/p1/cloud-images/a.qcow2', format: 'qcow2' },
            { type: 'block', device: '/dev/vg/base', format: 'raw' },
          ],
          iopsLimit: 500,
          bytesPerSecondLimit: 10_000_000,
          driver: { cache: 'writeback', io: 'threads' },
        }),
      ],
    }),
  ],
  [
    'every bus and two CD-ROMs',
    definition({
      disks: [
        disk(),
        disk({ id: 'scsi0', bus: 'scsi', source: { type: 'block', device: '/dev/vg/data', format: 'raw' } }),
        disk({ id: 'sata0', bus: 'sata', readonly: true }),
      ],
      cdroms: [cdrom({ bootable: true }), cdrom({ id: 'empty', path: '' }), cdrom({ id: 'seed', role: 'seed' })],
      bootOrder: ['cdrom0', 'root', 'nic:nic0'],
    }),
  ],
  [
    'Ceph images, one below a file',
    definition({
      disks: [
        disk({ source: rbd(), driver: { cache: 'writeback' } }),
        disk({ id: 'b', source: rbd({ name: 'guests/team-a/data', monitors: [] }), driver: { cache: 'writeback' } }),
        disk({ id: 'c', backing: [rbd({ name: 'guests/base' })] }),
      ],
    }),
  ],
  ['thirty virtio disks', definition({ disks: Array.from({ length: 30 }, (_, i) => disk({ id: `d${i}` })) })],
  [
    'thirty SATA disks',
    definition({ disks: Array.from({ length: 30 }, (_, i) => disk({ id: `d${i}`, bus: 'sata' })) }),
  ],
  [
    'thirty SCSI disks',
    definition({ disks: Array.from({ length: 30 }, (_, i) => disk({ id: `d${i}`, bus: 'scsi' })) }),
  ],
  [
    'every NIC',
    definition({
      nics: [
        nic(),
        nic({ id: 'b', macAddress: '52:54:00:01:02:04', model: 'e1000', target: { type: 'bridge', bridge: 'br0' } }),
        nic({ id: 'u', macAddress: '52:54:00:01:02:05', model: 'e1000e', target: { type: 'user' } }),
        nic({ id: 'v', macAddress: '52:54:00:01:02:06', model: 'vmxnet3' }),
        nic({ id: 'r', macAddress: '52:54:00:01:02:07', model: 'rtl8139' }),
      ],
    }),
  ],
  [
    'a seed beside SATA disks only',
    definition({ disks: [disk({ bus: 'sata' })], cdroms: [cdrom(), cdrom({ id: 'seed', role: 'seed' })] }),
  ],
  [
    'a seed for Windows',
    definition({ guest: guestProfile('windows_server'), cdroms: [cdrom(), cdrom({ id: 'seed', role: 'seed' })] }),
  ],
  [
    'hostile names',
    definition({
      name: `</name><x a="'&amp;]]>ü 日本 \u{1F600}`,
      disks: [
        disk({ source: { type: 'file', path: '/pools/p1/a&b <"\'>/ü.qcow2', format: 'qcow2' } }),
        disk({ id: 'b', source: { type: 'block', device: '/dev/v&g/<"\'>ü', format: 'raw' } }),
        disk({ id: 'c', source: rbd({ name: 'p&<"\'>/ü' }), driver: { cache: 'none' } }),
      ],
      metadata: {
        agentVersion: '0.1.0',
        createdAt: '2026-01-02T03:04:05.000Z',
        specDigest: 'sha256:00',
        guestOs: '<&"\'>',
        labels: { '<a href="x">': ' first\r\n\tsecond &amp; & ]]> \u{1F600} ', '007': '007', empty: '' },
      },
    }),
  ],
]
