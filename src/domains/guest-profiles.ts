import type { DiskBus, NicModel } from '../core/model.ts'

/** A `<timer>` of the clock; `kvm`: only with hardware virtualisation, whose kernel side it needs. */
export interface GuestTimer {
  readonly name: 'rtc' | 'pit' | 'hpet' | 'kvmclock' | 'hypervclock'
  readonly tickPolicy?: 'catchup' | 'delay'
  readonly present?: boolean
  readonly kvm?: true
}

/** Virtual hardware that suits a kind of guest, where the request says nothing. */
export interface GuestProfile {
  readonly clock: { readonly offset: 'utc' | 'localtime'; readonly timers: readonly GuestTimer[] }
  /** Enlightenments (`<hyperv>`), with KVM only, and of them what the host offers. */
  readonly hyperv: readonly string[]
  readonly video: { readonly model: 'vga' | 'cirrus'; readonly vramKib: number }
  /** Bus of the cloud-init drive beside disks that are not all on SATA. */
  readonly seedBus: 'scsi' | 'sata'
  /** Bus of a disk and model of a NIC where the request names none. */
  readonly diskBus: DiskBus
  readonly nicModel: NicModel
  /** With UEFI, Secure Boot and a TPM unless the request says otherwise. */
  readonly trusted: boolean
  /** How the guest tells that its kernel has given up; `hyperv` needs KVM. */
  readonly panic?: 'isa' | 'hyperv'
}

/** Lost ticks are made up for in the RTC and not in the PIT; an HPET is emulated at the cost of an exit to QEMU for each reading, and guests that find one use it. */
const TIMERS: readonly GuestTimer[] = [
  { name: 'rtc', tickPolicy: 'catchup' },
  { name: 'pit', tickPolicy: 'delay' },
  { name: 'hpet', present: false },
]

/** Every kernel, boot loader and installer draws on a standard VGA; 16 MiB are 2560x1600. */
const VGA = { model: 'vga', vramKib: 16_384 } as const

/**
 * Linux of any family. Kernels of all of them bring virtio, and kernels made for clouds (Debian's `genericcloud`) nothing for AHCI: they would never find a seed on SATA. The paravirtual clock is
 * the one source that stays right when the guest is paused or moves.
 */
const LINUX: GuestProfile = {
  clock: { offset: 'utc', timers: [...TIMERS, { name: 'kvmclock', present: true, kvm: true }] },
  hyperv: [],
  video: VGA,
  seedBus: 'scsi',
  diskBus: 'virtio',
  nicModel: 'virtio',
  trusted: false,
  panic: 'isa',
}

/** FreeBSD has virtio, also on SCSI, but nothing for the panic device. */
const FREEBSD: GuestProfile = {
  clock: { offset: 'utc', timers: [...TIMERS, { name: 'kvmclock', present: true, kvm: true }] },
  hyperv: [],
  video: VGA,
  seedBus: 'scsi',
  diskBus: 'virtio',
  nicModel: 'virtio',
  trusted: false,
}

/**
 * Windows keeps local time in the RTC and brings no virtio drivers. Its enlightenments replace what is slow to emulate: APIC and timers (`vapic`, `synic`, `stimer`), spinning on a vCPU that does not run
 * (`spinlocks`), interrupts and flushes between vCPUs (`ipi`, `tlbflush`); `relaxed` turns off the watchdog that takes a busy host for a hang. Windows 11 and Server 2025 ask for Secure Boot and a TPM.
 */
const WINDOWS: GuestProfile = {
  clock: { offset: 'localtime', timers: [...TIMERS, { name: 'hypervclock', present: true, kvm: true }] },
  hyperv: [
    'relaxed',
    'vapic',
    'spinlocks',
    'vpindex',
    'runtime',
    'synic',
    'stimer',
    'reset',
    'frequencies',
    'tlbflush',
    'ipi',
  ],
  video: VGA,
  seedBus: 'sata',
  diskBus: 'sata',
  nicModel: 'e1000e',
  trusted: true,
  panic: 'hyperv',
}

/** Windows before 8 and Server 2012: knows the first three enlightenments only, and has a driver for the Cirrus card and for the first e1000. */
const WINDOWS_LEGACY: GuestProfile = {
  ...WINDOWS,
  hyperv: ['relaxed', 'vapic', 'spinlocks'],
  video: { model: 'cirrus', vramKib: 16_384 },
  nicModel: 'e1000',
  trusted: false,
}

const PROFILES: Readonly<Record<string, GuestProfile>> = {
  generic_linux: LINUX,
  rhel: LINUX,
  debian: LINUX,
  fedora: LINUX,
  suse: LINUX,
  arch: LINUX,
  freebsd: FREEBSD,
  windows_server: WINDOWS,
  windows_desktop: WINDOWS,
  windows_legacy: WINDOWS_LEGACY,
}

/** The profile of a `guest_os` (contract 1.4). What is unknown and does not begin with "windows" is taken for Linux. */
export function guestProfile(guestOs: string): GuestProfile {
  const known = Object.hasOwn(PROFILES, guestOs) ? PROFILES[guestOs] : undefined
  return known ?? (guestOs.startsWith('windows') ? WINDOWS : LINUX)
}
