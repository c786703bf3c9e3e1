import type { ImageOs } from '../../core/model.ts'

interface Rule {
  readonly match: RegExp
  readonly family: ImageOs['family']
  readonly distribution: string
  readonly user: string
  /** Code names and what version they are. */
  readonly codeNames?: Readonly<Record<string, string>>
  readonly provisioning?: ImageOs['provisioning']
  /** The version is in the first group; the default takes the first number after the name. */
  readonly version?: RegExp
}

const UBUNTU = { bionic: '18.04', focal: '20.04', jammy: '22.04', noble: '24.04', plucky: '25.04', questing: '25.10' }
const DEBIAN = { buster: '10', bullseye: '11', bookworm: '12', trixie: '13', forky: '14' }
const words = (names: object) => Object.keys(names).join('|')

// The first match wins: more particular names first.
const RULES: readonly Rule[] = [
  {
    match: new RegExp(`ubuntu|\\b(${words(UBUNTU)})\\b`),
    family: 'linux',
    distribution: 'ubuntu',
    user: 'ubuntu',
    codeNames: UBUNTU,
    version: /(\d{2}\.\d{2})/,
  },
  {
    match: new RegExp(`debian|\\b(${words(DEBIAN)})\\b`),
    family: 'linux',
    distribution: 'debian',
    user: 'debian',
    codeNames: DEBIAN,
  },
  { match: /rocky/, family: 'linux', distribution: 'rocky', user: 'rocky' },
  { match: /alma/, family: 'linux', distribution: 'almalinux', user: 'almalinux' },
  { match: /centos/, family: 'linux', distribution: 'centos', user: 'cloud-user' },
  { match: /oracle|\bol[-_]?\d/, family: 'linux', distribution: 'oracle', user: 'cloud-user' },
  { match: /rhel|red[-_ ]?hat/, family: 'linux', distribution: 'rhel', user: 'cloud-user' },
  {
    match: /fedora[-_]coreos|fcos/,
    family: 'linux',
    distribution: 'fedora-coreos',
    user: 'core',
    provisioning: 'ignition',
  },
  { match: /flatcar/, family: 'linux', distribution: 'flatcar', user: 'core', provisioning: 'ignition' },
  { match: /fedora/, family: 'linux', distribution: 'fedora', user: 'fedora' },
  { match: /opensuse|leap|tumbleweed|\bsuse/, family: 'linux', distribution: 'opensuse', user: 'root' },
  { match: /\bsles?\b/, family: 'linux', distribution: 'sles', user: 'root' },
  { match: /alpine/, family: 'linux', distribution: 'alpine', user: 'alpine' },
  { match: /\barch(linux)?\b/, family: 'linux', distribution: 'arch', user: 'arch' },
  { match: /amazon[-_ ]?linux|\bal2023\b|\bamzn2/, family: 'linux', distribution: 'amazon', user: 'ec2-user' },
  { match: /cirros/, family: 'linux', distribution: 'cirros', user: 'cirros' },
  { match: /gentoo/, family: 'linux', distribution: 'gentoo', user: 'gentoo' },
  { match: /nixos/, family: 'linux', distribution: 'nixos', user: 'root' },
  { match: /kali/, family: 'linux', distribution: 'kali', user: 'kali' },
  { match: /freebsd/, family: 'bsd', distribution: 'freebsd', user: 'freebsd' },
  { match: /openbsd/, family: 'bsd', distribution: 'openbsd', user: 'openbsd' },
  { match: /netbsd/, family: 'bsd', distribution: 'netbsd', user: 'netbsd' },
  // A CD of drivers is no Windows.
  { match: /virtio[-_]?win/, family: 'other', distribution: 'virtio-win', user: '', provisioning: 'none' },
  {
    match: /windows|\bwin[-_ ]?(10|11|20\d\d)|\bserver_eval\b|_x64fre|sss_x64/,
    family: 'windows',
    distribution: 'windows',
    user: 'Administrator',
    provisioning: 'unknown',
    version: /(?:windows|win)[-_ ]*(?:server)?[-_ ]*(20\d\d|11|10|8\.1|7)/,
  },
]

const UNKNOWN: ImageOs = {
  family: 'unknown',
  distribution: '',
  version: '',
  architecture: '',
  defaultUser: '',
  provisioning: 'unknown',
}

/**
 * What an image is, by texts that speak of it, best one first: file name, volume label of an ISO, URL it came from. A wrong guess is worse than none: what no
 * rule knows is unknown.
 */
export function detectOs(texts: readonly string[], isCdrom: boolean): ImageOs {
  const given = texts.filter((text) => text !== '').map((text) => text.toLowerCase())
  const architecture = given.map(architectureIn).find((found) => found !== '') ?? ''
  for (const text of given) {
    const rule = RULES.find(({ match }) => match.test(text))
    if (rule === undefined) continue
    const version = [text, ...given].map((one) => versionIn(one, rule)).find((found) => found !== '') ?? ''
    return {
      family: rule.family,
      distribution: rule.distribution,
      version,
      architecture,
      defaultUser: rule.user,
      provisioning: isCdrom ? 'none' : (rule.provisioning ?? (rule.family === 'linux' ? 'cloud-init' : 'unknown')),
    }
  }
  return { ...UNKNOWN, architecture, provisioning: isCdrom ? 'none' : 'unknown' }
}

function versionIn(text: string, { match, version, codeNames = {} }: Rule): string {
  const code = Object.entries(codeNames).find(([name]) => text.includes(name))
  if (code !== undefined) return code[1]
  if (version !== undefined) return version.exec(text)?.[1] ?? ''
  const found = match.exec(text)
  if (found === null) return ''
  // `debian-12-generic`, `Rocky-9-GenericCloud-Base-9.5`, `Fedora-Cloud-Base-Generic-42-1.1`, not the digits of x86_64 or a date.
  const rest = text
    .slice(found.index + found[0].length)
    .replaceAll(/x86[-_]?64|i[36]86|aarch64|arm64|amd64|\d{6,}/g, '')
  return /(?:^|[-_ .a-z])(\d{1,2}(?:\.\d{1,2})?)(?!\d)/.exec(rest)?.[1] ?? ''
}

function architectureIn(text: string): string {
  if (/aarch64|arm64/.test(text)) return 'aarch64'
  return /x86[-_]?64|amd64|x64/.test(text) ? 'x86_64' : ''
}
