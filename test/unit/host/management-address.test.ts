import type { NetworkInterfaceInfo } from 'node:os'
import { describe, expect, it } from 'vitest'
import { managementAddress } from '../../../src/host/management-address.ts'

const on = (...addresses: string[]): NetworkInterfaceInfo[] =>
  addresses.map((address) => ({
    address,
    family: address.includes(':') ? ('IPv6' as const) : ('IPv4' as const),
    internal: address.startsWith('127.'),
    netmask: '',
    mac: '',
    cidr: null,
    scopeid: 0,
  }))

describe('managementAddress', () => {
  it.for<[string, Record<string, NetworkInterfaceInfo[]>, string | undefined]>([
    ['wired before everything', { bond0: on('10.0.0.2'), enp3s0: on('10.0.0.1'), wlan0: on('10.0.0.3') }, '10.0.0.1'],
    ['bond before wireless', { wlan0: on('10.0.0.3'), bond0: on('10.0.0.2') }, '10.0.0.2'],
    ['wireless before InfiniBand', { ib0: on('10.0.0.4'), wlp2s0: on('10.0.0.3') }, '10.0.0.3'],
    ['InfiniBand before others', { net0: on('10.0.0.5'), ib0: on('10.0.0.4') }, '10.0.0.4'],
    ['others before bridges', { br0: on('10.0.0.6'), net0: on('10.0.0.5') }, '10.0.0.5'],
    ['bridges before virtual ones', { docker0: on('172.17.0.1'), br0: on('10.0.0.6') }, '10.0.0.6'],
    ['a virtual one rather than none', { lo: on('127.0.0.1'), docker0: on('172.17.0.1') }, '172.17.0.1'],
    ['the lowest number of a kind', { eth10: on('10.0.0.10'), eth2: on('10.0.0.2') }, '10.0.0.2'],
    ['a usable address of an interface', { eth0: on('fe80::1', '169.254.1.1', '10.0.0.7') }, '10.0.0.7'],
    ['no link-local, no NAT network of libvirt', { eth0: on('169.254.1.1'), virbr0: on('192.168.122.1') }, undefined],
    ['no IPv6', { eth0: on('2001:db8::1') }, undefined],
    ['nothing on a host without network', { lo: on('127.0.0.1') }, undefined],
  ])('chooses %s', ([, addresses, expected]) => {
    expect(managementAddress(addresses)).toBe(expected)
  })

  it.for<[string, string]>([
    ['192.0.2.9', '192.0.2.9'],
    ['192.0.2.9:9090', '192.0.2.9'],
    ['192.0.2.9/24', '192.0.2.9'],
    ['127.0.0.2', '127.0.0.2'],
    ['2001:db8::1', '2001:db8::1'],
  ])('takes the configured %s first', ([configured, expected]) => {
    expect(managementAddress({ eth0: on('10.0.0.1') }, configured)).toBe(expected)
  })

  it.for(['hv-01', '10.0.0', '10.0.0.1; rm', 'eth0'])('refuses %j in the configuration', (configured) => {
    expect(() => managementAddress({}, configured)).toThrow(expect.objectContaining({ reason: 'CONFIG_INVALID' }))
  })
})
