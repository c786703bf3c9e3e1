import { execFile } from 'node:child_process'
import { mkdir, readFile, rm, rmdir } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Mounts an ext4 file system of its own at `place`, here and for the guests that the private libvirt in `libvirtDir` starts from now on; returns how to take it away. Needs loop devices. */
export async function mountSmall(place: string, mebibytes: number, libvirtDir: string): Promise<() => Promise<void>> {
  const image = `${place}.img`
  await mkdir(place)
  await run('truncate', ['-s', `${mebibytes}M`, image])
  await run('mkfs.ext4', ['-q', '-O', '^has_journal', '-m', '0', image])
  const device = (await run('losetup', ['--find', '--show', image])).stdout.trim()
  const [init = ''] = (await readFile(path.join(libvirtDir, '.init'), 'utf8')).split(' ')
  // It does not see the mounts of this process.
  const inLibvirt = ['-t', init, '-m']
  await run('mount', [device, place])
  await run('nsenter', [...inLibvirt, 'mount', device, place])
  await run('chmod', ['0711', place])
  return async () => {
    await run('nsenter', [...inLibvirt, 'umount', '-l', place]).catch(() => undefined)
    await run('umount', ['-l', place]).catch(() => undefined)
    await run('losetup', ['--detach', device])
    await rm(image)
    await rmdir(place)
  }
}
