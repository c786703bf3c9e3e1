import { describe, expect, it } from 'vitest'
import { allowedPeers, parseConfig, securityMode, splitListenAddress } from '../../../src/app/config.ts'

describe('configuration', () => {
  it('fills in every default for an empty file', () => {
    const config = parseConfig('', 'node.yaml')
    expect(config.server.listen_address).toBe('127.0.0.1:9090')
    expect(config.paths.state_dir).toBe('/var/lib/limiquantix')
    expect(config.control_plane).toEqual({
      address: 'http://localhost:8080',
      registration_enabled: false,
      import_foreign_vms: true,
      heartbeat_interval_secs: 30,
    })
    expect(config.downloads.allow_private_addresses).toBe(false)
  })

  it.each([
    ['serverr: {}', 'serverr: unknown key'],
    ['server: {http: {lisen: x}}', 'server.http.lisen: unknown key'],
    ['control_plane: {heartbeat_interval_secs: soon}', 'control_plane.heartbeat_interval_secs'],
    ['hypervisor: {backend: mock}', 'hypervisor.backend'],
    ['paths: {state_dir: relative}', 'paths.state_dir: must be an absolute path'],
    ['server: {http: {tls: {enabled: true}}}', '0.0.0.0:8443 is reachable from other machines'],
    ['server: {http: {enabled: false, tls: {enabled: true}}}', 'server.http.tls.enabled needs server.http.enabled'],
    ['server: {http: {tls: {cert_path: /a, key_path: /a}}}', 'cert_path and key_path must be two files'],
    ['server: {http: {tls: {self_signed: {common_name: "a/b"}}}}', 'server.http.tls.self_signed.common_name'],
    ['server: {listen_address: "0.0.0.0:9090"}', '0.0.0.0:9090 is reachable from other machines'],
    [
      '{security: {mode: closed}, server: {listen_address: "0.0.0.0:9090", allow_from: [10.0.0.1]}}',
      'security.mode compat',
    ],
    ['{security: {mode: compat}, server: {listen_address: "0.0.0.0:9090"}}', 'name those that may use it'],
    ['{security: {mode: mtls}, server: {http: {listen_address: "0.0.0.0:8080"}}}', 'plain HTTP stays on loopback'],
    ['server: {http: {tls: {mode: acme, acme: {challenge_type: dns-01}}}}', 'only http-01 is built in'],
    ['security: {mode: open}', 'security.mode'],
    ['server: {allow_from: [here]}', 'server.allow_from: "here"'],
    ['server: {listen_address: "127.0.0.1:99999"}', 'server.listen_address: the port must be at most 65535'],
    ['node: {id: "../x"}', 'node.id: use 1 to 128 letters'],
    ['node: {management_ip: here}', 'node.management_ip: must be an IP address'],
    ['hypervisor: {libvirt_uri: "qemu+ssh://other/system"}', 'hypervisor.libvirt_uri: must name a driver on this host'],
    ['hypervisor: {networks: {lan: "bridg:br0"}}', 'hypervisor.networks.lan: must be network:NAME'],
    ['control_plane: {address: "ftp://cp"}', 'control_plane.address: must be an http or https URL'],
    ['control_plane: {heartbeat_interval_secs: 91}', 'control_plane.heartbeat_interval_secs'],
    ['a: [', 'node.yaml'],
    ['- list', 'node.yaml is not valid'],
  ])('refuses %j naming the place', (text, message) => {
    expect(() => parseConfig(text, 'node.yaml')).toThrow(message)
  })

  it('lets only what was typed win over the file', () => {
    const file = 'server: {listen_address: "127.0.0.5:9090"}\nhypervisor: {libvirt_uri: "test:///default"}'
    const config = parseConfig(file, 'node.yaml', { httpListen: '127.0.0.5:8080' })
    expect(config.server.listen_address).toBe('127.0.0.5:9090')
    expect(config.server.http.listen_address).toBe('127.0.0.5:8080')
    expect(config.hypervisor.libvirt_uri).toBe('test:///default')
  })

  it('opens TLS listeners to everybody in mode mtls, where certificates decide', () => {
    const text = '{security: {mode: mtls}, server: {listen_address: "0.0.0.0:9090", http: {tls: {enabled: true}}}}'
    expect(securityMode(parseConfig(text, 'node.yaml'))).toBe('mtls')
    expect(securityMode(parseConfig('', 'node.yaml'))).toBe('closed')
    expect(securityMode(parseConfig('server: {allow_from: [10.0.0.1]}', 'node.yaml'))).toBe('compat')
  })

  it('accepts the keys of an existing node.yaml', () => {
    const text = `
node: {id: n1, hostname: h, management_ip: 10.0.0.2/24, labels: {a: b}}
server:
  listen_address: 0.0.0.0:9090
  allow_from: [10.0.0.1]
  metrics_port: 9091
  http:
    enabled: true
    listen_address: 0.0.0.0:8080
    webui_path: /usr/share/quantix-host-ui
    tls: {enabled: false, mode: acme, acme: {enabled: false, domains: [x.example]}}
hypervisor: {backend: libvirt, libvirt_uri: "qemu:///system", storage_path: /a, images_path: /b}
control_plane: {address: "http://cp:8080", registration_enabled: true, heartbeat_interval_secs: 30}
updates: {enabled: false, channel: dev, max_backups: 3}`
    expect(parseConfig(text, 'node.yaml').node.labels).toEqual({ a: 'b' })
  })
})

describe('allowedPeers', () => {
  it('admits loopback and the listed ranges only', () => {
    const allowed = allowedPeers(['10.0.0.0/24', '2001:db8::1'])
    expect(
      ['127.0.0.1', '127.0.0.3', '::1', '::ffff:127.0.0.1', '10.0.0.7', '::ffff:10.0.0.7', '2001:db8::1'].every(
        allowed,
      ),
    ).toBe(true)
    expect(['10.0.1.7', '192.168.1.1', '2001:db8::2', 'unix:', ''].some(allowed)).toBe(false)
  })
})

describe('splitListenAddress', () => {
  it('takes IPv4, names and bracketed IPv6', () => {
    expect(splitListenAddress('[::1]:90')).toEqual({ host: '::1', port: 90 })
    expect(splitListenAddress('localhost:0')).toEqual({ host: 'localhost', port: 0 })
  })
})
