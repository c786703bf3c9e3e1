import { quote, type Rig } from './rig.ts'

const FILE = '/etc/limiquantix/node.yaml'
const KEPT = '/root/node.yaml.kept'

/** Settings of the agent that the rig leaves out. */
export interface AgentSettings {
  /** URL of a control plane to register at. */
  readonly controlPlane?: string
  /** How guests run; without it, with the nested KVM that the host has. Guests that run for minutes are better emulated: KVM on an emulated CPU can panic the host's kernel. */
  readonly domainType?: 'qemu'
  /** HTTPS at port 8443, and redirects to it at port 80. */
  readonly https?: true
}

/** Restarts the agent with further settings and with programs on the host itself allowed to use it; `agentConfigGone` takes them back. */
export async function agentConfig(rig: Rig, { controlPlane, domainType, https }: AgentSettings): Promise<void> {
  const link =
    controlPlane === undefined
      ? ''
      : `control_plane:\n  address: '${controlPlane}'\n  registration_enabled: true\n  heartbeat_interval_secs: 30\n`
  const changes = [
    's/^( *allow_from: ).*/\\1[10.99.0.1, 10.99.0.2]/',
    ...(https === undefined
      ? []
      : [
          String.raw`s/^( *)listen_address: '(.*):8080'/&\n\1tls: {enabled: true, listen_address: "\2:8443", redirect_http: true}/`,
        ]),
    ...(domainType === undefined ? [] : [`s/^hypervisor:/&\\n  domain_type: ${domainType}/`]),
  ]
  await rig.exec(
    `test -e ${KEPT} || cp -p ${FILE} ${KEPT}; sed -E ${changes.map((change) => `-e ${quote(change)}`).join(' ')} ${KEPT} >${FILE}; cat >>${FILE}`,
    { input: link },
  )
  await rig.exec('systemctl restart limiquantix-node', { timeoutMs: 120_000 })
}

/** The agent as the rig configured it; nothing happens when it is. */
export async function agentConfigGone(rig: Rig): Promise<void> {
  await rig.exec(`! test -e ${KEPT} || { mv ${KEPT} ${FILE}; systemctl restart limiquantix-node; }`, {
    timeoutMs: 120_000,
  })
}
