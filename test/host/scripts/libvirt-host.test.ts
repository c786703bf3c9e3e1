import { chmod, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import { checkoutPath, runScript, type ScriptResult } from './run-script.ts'

const script = checkoutPath('scripts/libvirt-host')
const libvirtHost = (...args: string[]): Promise<ScriptResult> => runScript(script, args)

/** Processes (other than this one) whose command line names the path. */
async function processesNaming(path: string): Promise<readonly string[]> {
  const found: string[] = []
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid) || pid === String(process.pid)) continue
    const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    if (commandLine.includes(path)) found.push(`${pid} ${commandLine.replaceAll('\0', ' ')}`)
  }
  return found
}

describe.skipIf(await requirePrerequisite('libvirt', missingLibvirt))('libvirt-host', () => {
  let directory: string

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'lqx-lvh-'))
    await chmod(directory, 0o711)
  })

  afterEach(async () => {
    await libvirtHost('down', directory)
    await rm(directory, { recursive: true, force: true })
  })

  test('refuses a directory that the qemu user cannot enter, and says what to do', async () => {
    await chmod(directory, 0o700)
    const result = await libvirtHost('up', directory, '--domain-type', 'qemu')
    expect(result.code).toBe(1)
    expect(result.stderr).toContain(`libvirt-qemu cannot enter ${directory}`)
    expect(result.stderr).toContain('0711')
  })

  test('refuses start and kill where nothing was started, and shrugs at down', async () => {
    for (const command of ['start', 'kill']) {
      const result = await libvirtHost(command, directory)
      expect(result.code).toBe(1)
      expect(result.stderr).toContain(`libvirt-host up ${directory}`)
    }
    expect((await libvirtHost('down', directory)).code).toBe(0)
    expect((await libvirtHost('down', join(directory, 'nowhere'))).code).toBe(0)
    expect((await libvirtHost('status', directory)).code).toBe(3)
  })

  test('refuses unknown commands, options and domain types', async () => {
    expect((await libvirtHost('restart', directory)).code).toBe(2)
    expect((await libvirtHost('up', directory, '--fast')).stderr).toContain('unknown option --fast')
    expect((await libvirtHost('up', directory, '--domain-type', 'xen')).stderr).toContain('kvm or qemu, not xen')
  })

  describe('when it is up', () => {
    let home: string
    let uri: string
    const virsh = (...args: string[]): Promise<ScriptResult> => runScript('virsh', ['-q', '-c', uri, ...args])

    beforeAll(async () => {
      home = await mkdtemp(join(tmpdir(), 'lqx-lvh-up-'))
      await chmod(home, 0o711)
      const result = await libvirtHost('up', home, '--domain-type', 'qemu')
      expect(result).toMatchObject({ code: 0, stdout: `${home}/run/libvirt-sock\n` })
      uri = `qemu+unix:///system?mode=legacy&socket=${home}/run/libvirt-sock`
    })

    afterAll(async () => {
      await libvirtHost('down', home)
      await rm(home, { recursive: true, force: true })
    })

    test('a second up changes nothing', async () => {
      const before = (await libvirtHost('status', home)).stdout
      expect((await libvirtHost('up', home)).code).toBe(0)
      expect((await libvirtHost('status', home)).stdout).toBe(before)
    })

    test('libvirt does not see KVM, and other instances do not see its domains', async () => {
      expect((await virsh('capabilities')).stdout).not.toContain("<domain type='kvm'")
      await virsh('define', await domainFile(home, 'lonely'))
      const other = process.env['LIMIQUANTIX_TEST_LIBVIRT_DIR'] ?? ''
      const names = await runScript('virsh', [
        '-q',
        '-c',
        `qemu+unix:///system?mode=legacy&socket=${other}/run/libvirt-sock`,
        'list',
        '--all',
        '--name',
      ])
      expect(names.code).toBe(0)
      expect(names.stdout).not.toContain('lonely')
      expect((await virsh('list', '--all', '--name')).stdout).toContain('lonely')
    })

    test('a guest outlives a killed libvirtd', async () => {
      await virsh('define', await domainFile(home, 'survivor'))
      expect(await virsh('start', 'survivor')).toMatchObject({ code: 0 })
      const before = (await processesNaming('guest=survivor'))[0]?.split(' ')[0]
      expect(before).toBeDefined()

      expect((await libvirtHost('kill', home)).code).toBe(0)
      expect((await libvirtHost('status', home)).code).toBe(3)
      expect((await virsh('list')).code).not.toBe(0)
      expect((await processesNaming('guest=survivor'))[0]?.split(' ')[0]).toBe(before)

      expect((await libvirtHost('start', home)).code).toBe(0)
      expect((await virsh('domstate', 'survivor')).stdout.trim()).toBe('running')
      expect((await virsh('suspend', 'survivor')).code).toBe(0)
    })

    test('down ends the guests too and leaves no process, mount or file', async () => {
      await virsh('define', await domainFile(home, 'last'))
      expect((await virsh('start', 'last')).code).toBe(0)
      expect(await processesNaming(home)).not.toEqual([])
      expect((await libvirtHost('down', home)).code).toBe(0)
      expect(await processesNaming(home)).toEqual([])
      expect(await readFile('/proc/self/mountinfo', 'utf8')).not.toContain(home)
      expect((await readdir(home)).filter((name) => !/\.(raw|xml)$/.test(name))).toEqual([])
    })
  })
})

/** Writes the definition of a guest that halts in its boot sector; returns the file's path. */
async function domainFile(directory: string, name: string): Promise<string> {
  // cli would stop it for good; sti; hlt; jmp keeps it alive and idle.
  const disk = Buffer.alloc(1 << 20)
  disk.set([0xfb, 0xf4, 0xeb, 0xfc])
  disk.set([0x55, 0xaa], 510)
  await writeFile(join(directory, `${name}.raw`), disk)
  const file = join(directory, `${name}.xml`)
  await writeFile(
    file,
    `<domain type='qemu'><name>${name}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
     <os><type arch='x86_64' machine='q35'>hvm</type></os>
     <devices><disk type='file' device='disk'><driver name='qemu' type='raw'/>
     <source file='${join(directory, `${name}.raw`)}'/><target dev='vda' bus='virtio'/></disk></devices></domain>`,
  )
  return file
}
