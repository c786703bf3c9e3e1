import type { CatalogImage } from '../../core/model.ts'

type Builtin = Omit<CatalogImage, 'architecture' | 'origin' | 'family' | 'provisioning'>

const UBUNTU_IMAGES = 'https://cloud-images.ubuntu.com'
const DEBIAN_IMAGES = 'https://cloud.debian.org/images/cloud'
const ROCKY_IMAGES = 'https://dl.rockylinux.org/pub/rocky'
const ALMA_IMAGES = 'https://repo.almalinux.org/almalinux'
const CENTOS_IMAGES = 'https://cloud.centos.org/centos'
const FEDORA_IMAGES = 'https://download.fedoraproject.org/pub/fedora/linux/releases'
const FEDORA_ARCHIVE = 'https://archives.fedoraproject.org/pub/archive/fedora/linux/releases'
const OPENSUSE_IMAGES = 'https://download.opensuse.org'
const ALPINE_IMAGES = 'https://dl-cdn.alpinelinux.org/alpine'

// Sums of Ubuntu have a detached signature beside them; those of Debian's cloud images have none.
function ubuntu(version: string, codeName: string, name = `Ubuntu ${version}`): Builtin {
  const base = `${UBUNTU_IMAGES}/${codeName}/current`
  return {
    id: `ubuntu-${version}`,
    name,
    distribution: 'ubuntu',
    version,
    defaultUser: 'ubuntu',
    url: `${base}/${codeName}-server-cloudimg-amd64.img`,
    checksumUrl: `${base}/SHA256SUMS`,
    signatureUrl: `${base}/SHA256SUMS.gpg`,
    format: 'qcow2',
  }
}

function debian(version: string, codeName: string): Builtin {
  const base = `${DEBIAN_IMAGES}/${codeName}/latest`
  return {
    id: `debian-${version}`,
    name: `Debian ${version} (${codeName})`,
    distribution: 'debian',
    version,
    defaultUser: 'debian',
    url: `${base}/debian-${version}-generic-amd64.qcow2`,
    checksumUrl: `${base}/SHA512SUMS`,
    format: 'qcow2',
  }
}

function rocky(version: string): Builtin {
  const base = `${ROCKY_IMAGES}/${version}/images/x86_64`
  return {
    id: `rocky-${version}`,
    name: `Rocky Linux ${version}`,
    distribution: 'rocky',
    version,
    defaultUser: 'rocky',
    url: `${base}/Rocky-${version}-GenericCloud-Base.latest.x86_64.qcow2`,
    checksumUrl: `${base}/CHECKSUM`,
    format: 'qcow2',
  }
}

function alma(version: string): Builtin {
  const base = `${ALMA_IMAGES}/${version}/cloud/x86_64/images`
  return {
    id: `almalinux-${version}`,
    name: `AlmaLinux ${version}`,
    distribution: 'almalinux',
    version,
    defaultUser: 'almalinux',
    url: `${base}/AlmaLinux-${version}-GenericCloud-latest.x86_64.qcow2`,
    checksumUrl: `${base}/CHECKSUM`,
    signatureUrl: `${base}/CHECKSUM.asc`,
    format: 'qcow2',
  }
}

function centosStream(version: string): Builtin {
  const url = `${CENTOS_IMAGES}/${version}-stream/x86_64/images/CentOS-Stream-GenericCloud-${version}-latest.x86_64.qcow2`
  return {
    id: `centos-stream-${version}`,
    name: `CentOS Stream ${version}`,
    distribution: 'centos',
    version,
    defaultUser: 'cloud-user',
    url,
    checksumUrl: `${url}.SHA256SUM`,
    format: 'qcow2',
  }
}

// The sums of Fedora are signed in the same file.
function fedora(version: string, build: string, base = FEDORA_IMAGES): Builtin {
  const directory = `${base}/${version}/Cloud/x86_64/images`
  const file =
    Number(version) >= 41
      ? `Fedora-Cloud-Base-Generic-${version}-${build}.x86_64.qcow2`
      : `Fedora-Cloud-Base-Generic.x86_64-${version}-${build}.qcow2`
  return {
    id: `fedora-${version}`,
    name: `Fedora Cloud ${version}`,
    distribution: 'fedora',
    version,
    defaultUser: 'fedora',
    url: `${directory}/${file}`,
    checksumUrl: `${directory}/Fedora-Cloud-${version}-${build}-x86_64-CHECKSUM`,
    format: 'qcow2',
  }
}

// The sums of openSUSE name the build behind a link, not the link: they prove nothing here.
function opensuseLeap(version: string, path: string): Builtin {
  return {
    id: `opensuse-leap-${version}`,
    name: `openSUSE Leap ${version}`,
    distribution: 'opensuse',
    version,
    defaultUser: 'root',
    url: `${OPENSUSE_IMAGES}/${path}`,
    format: 'qcow2',
  }
}

const leap15 = (version: string) =>
  `repositories/Cloud:/Images:/Leap_${version}/images/openSUSE-Leap-${version}.x86_64-NoCloud.qcow2`

function alpine(version: string, point: string): Builtin {
  const url = `${ALPINE_IMAGES}/v${version}/releases/cloud/nocloud_alpine-${point}-x86_64-bios-cloudinit-r0.qcow2`
  return {
    id: `alpine-${version}`,
    name: `Alpine ${version}`,
    distribution: 'alpine',
    version,
    defaultUser: 'alpine',
    url,
    checksumUrl: `${url}.sha512`,
    format: 'qcow2',
  }
}

// For aarch64 where publishers use the same names with another architecture.
function arm64(image: Builtin): CatalogImage {
  return {
    ...common(image),
    id: `${image.id}-arm64`,
    name: `${image.name}, arm64`,
    url: image.url.replace('amd64', 'arm64'),
    architecture: 'aarch64',
  }
}

function common(image: Builtin): CatalogImage {
  return { ...image, family: 'linux', provisioning: 'cloud-init', architecture: 'x86_64', origin: 'built-in' }
}

const BOTH = [
  debian('12', 'bookworm'),
  debian('13', 'trixie'),
  ubuntu('22.04', 'jammy'),
  ubuntu('24.04', 'noble'),
  ubuntu('26.04', 'resolute'),
]

/**
 * Well-known cloud images: those that control planes know by their id (contract 2.1.4), and current releases. `latest` and `current` URLs move on, so no digest is kept here: sums are fetched with the
 * image.
 */
export const BUILTIN_CATALOG: readonly CatalogImage[] = [
  ...BOTH.map(common),
  ...[
    rocky('9'),
    rocky('10'),
    alma('9'),
    alma('10'),
    centosStream('9'),
    centosStream('10'),
    fedora('40', '1.14', FEDORA_ARCHIVE),
    fedora('43', '1.6'),
    fedora('44', '1.7'),
    opensuseLeap('15.5', leap15('15.5')),
    opensuseLeap('15.6', leap15('15.6')),
    opensuseLeap('16.0', 'distribution/leap/16.0/appliances/Leap-16.0-Minimal-VM.x86_64-Cloud.qcow2'),
    alpine('3.22', '3.22.4'),
  ].map(common),
  ...BOTH.map(arm64),
]
