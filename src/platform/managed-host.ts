import { access, readlink } from 'node:fs/promises'

/** True where systemd runs (sd_booted(3)) and shares this process's mount namespace: what PID 1 mounts or opens is what this process sees. */
export async function isManagedHost(): Promise<boolean> {
  try {
    await access('/run/systemd/system')
    return (await readlink('/proc/1/ns/mnt')) === (await readlink('/proc/self/ns/mnt'))
  } catch {
    return false
  }
}
