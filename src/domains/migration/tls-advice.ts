import { isLibvirtError } from '../../libvirt/errors.ts'

/** Where libvirt tells QEMU of its certificates, and what became of the transfer. */
const LOADED = "command 'object-add'"
const TRANSFERRED = "job 'migration"
const OF_CERTIFICATES = /certificate|credentials|TLS/
const WHERE =
  'in the directory that migrate_tls_x509_cert_dir of /etc/libvirt/qemu.conf names (docs/vms.md, "Encrypted migration")'
const FILES = {
  source: 'this host: ca-cert.pem, client-cert.pem and client-key.pem',
  target: 'the target host: ca-cert.pem, server-cert.pem and server-key.pem',
}

/** What to do about an error of libvirt that comes from the certificates of QEMU, to be put behind its text; empty for all others. `host` is whose libvirt it is. */
export function tlsAdvice(error: unknown, host: keyof typeof FILES): string {
  if (!isLibvirtError(error) || !OF_CERTIFICATES.test(error.message)) return ''
  if (error.message.includes(LOADED)) return `; see to the certificates of ${FILES[host]}, ${WHERE}`
  if (!error.message.includes(TRANSFERRED)) return ''
  return `; the two QEMUs do not take each other's certificates: see to those of ${FILES.source}; and of ${FILES.target}, which has to name its address; each ${WHERE}`
}
