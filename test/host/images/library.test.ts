import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { chmod, copyFile, mkdir, mkdtemp, readdir, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import { startAgent, type AgentProcess } from '../../support/agent-process.ts'
import { until } from '../../support/until.ts'
import { rawDisk, startImageServer } from '../../unit/images/image-server.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'

const run = promisify(execFile)
const missing = await requirePrerequisite('qemu-img and genisoimage', missingCommand('qemu-img', 'genisoimage'))
const libvirtDir = inject('libvirtDir')

interface ImageBody {
  readonly id: string
  readonly filename: string
  readonly folderPath: string
  readonly path: string
  readonly format: string
  readonly usedBy: string[]
  readonly usersKnown: boolean
}

describe.skipIf(missing !== undefined)('the image library of a real agent', () => {
  let directory: string
  let agent: AgentProcess
  let pool: string
  const poolId = 'lib-pool'

  const start = async (libvirt = '/nowhere/libvirt-sock') => {
    agent = await startAgent({
      directory,
      config: {
        hypervisor: { libvirt_uri: `qemu+unix:///system?socket=${libvirt}`, networks: { default: 'user' } },
        downloads: { allow_private_addresses: true, allowed_dirs: [path.join(directory, 'plain')] },
      },
    })
  }
  const ask = async (method: string, url: string, body?: object): Promise<{ status: number; json: unknown }> => {
    const response = await fetch(`${agent.httpUrl}${url}`, {
      method,
      signal: AbortSignal.timeout(60_000),
      ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    })
    const text = await response.text()
    return { status: response.status, json: text === '' ? undefined : JSON.parse(text) }
  }
  const images = async (query = ''): Promise<ImageBody[]> => {
    const { json } = await ask('GET', `/api/v1/images${query}`)
    return (json as { images: ImageBody[] }).images
  }
  const scan = () => ask('POST', '/api/v1/images/scan')
  const names = async (query = '') => (await images(query)).map(({ filename }) => filename).sort()
  const qcow2 = (file: string, ...args: string[]) =>
    run('qemu-img', ['create', '-q', '-f', 'qcow2', ...args, file, '16M'])
  const makeIso = async (file: string, label: string) => {
    const content = path.join(directory, 'iso-content')
    await mkdir(content, { recursive: true })
    await writeFile(path.join(content, 'readme'), 'x')
    await run('genisoimage', ['-quiet', '-V', label, '-o', file, content])
  }

  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'lqx-library-'))
    await chmod(directory, 0o711)
    pool = path.join(directory, 'pool')
    await mkdir(path.join(directory, 'plain'))
  })
  afterEach(async () => {
    await agent.stop()
    await rm(directory, { recursive: true, force: true })
  })
  const makePool = async () => {
    const made = await ask('POST', '/api/v1/storage/pools', { poolId, type: 'LOCAL_DIR', path: pool })
    expect(made.status).toBe(200)
    await mkdir(path.join(pool, 'cloud-images'), { recursive: true })
    await mkdir(path.join(pool, 'iso'), { recursive: true })
  }

  it('finds images and ISOs by content, and leaves out what is none, not ready, or a disk', async () => {
    await start()
    await makePool()
    const cloud = path.join(pool, 'cloud-images')
    await qcow2(path.join(cloud, 'ubuntu-24.04.qcow2'))
    await makeIso(path.join(pool, 'iso', 'installer.iso'), 'Debian 12.5.0 amd64 n')
    await makeIso(path.join(directory, 'plain', 'tools.iso'), 'TOOLS')
    await writeFile(path.join(cloud, 'disk.raw'), rawDisk(1024 * 1024))
    // None of these is an image that somebody may use.
    await qcow2(path.join(cloud, 'overlay.qcow2'), '-F', 'qcow2', '-b', path.join(cloud, 'ubuntu-24.04.qcow2'))
    await writeFile(path.join(cloud, 'page.qcow2'), '<!DOCTYPE html><html></html>')
    await copyFile(path.join(cloud, 'disk.raw'), path.join(cloud, 'cut.qcow2.part'))
    await copyFile(path.join(cloud, 'ubuntu-24.04.qcow2'), path.join(cloud, '.lqx-0b3e-1.lqxtmp'))
    await copyFile(path.join(cloud, 'ubuntu-24.04.qcow2'), path.join(cloud, 'cut.qcow2'))
    await truncate(path.join(cloud, 'cut.qcow2'), 100)
    await symlink('/etc', path.join(pool, 'etc'))
    await makeIso(path.join(pool, 'seed.iso'), 'cidata')
    await ask('POST', `/api/v1/storage/pools/${poolId}/volumes`, { volumeId: 'vm/root', sizeBytes: 1024 * 1024 })
    await scan()
    expect(await names()).toEqual(['disk.raw', 'installer.iso', 'tools.iso', 'ubuntu-24.04.qcow2'])
    expect(await images()).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          filename: 'installer.iso',
          folderPath: '/iso',
          storagePoolId: poolId,
          osDistribution: 'debian',
          osVersion: '12.5',
          format: 'iso',
        }),
        expect.objectContaining({
          filename: 'ubuntu-24.04.qcow2',
          virtualSizeBytes: 16 * 1024 * 1024,
          osDistribution: 'ubuntu',
          defaultUser: 'ubuntu',
          usersKnown: false,
        }),
        expect.objectContaining({ filename: 'disk.raw', format: 'raw', osDistribution: null }),
        expect.objectContaining({ filename: 'tools.iso', storagePoolId: null, folderPath: '/' }),
      ]),
    )
    expect(await names('?kind=iso')).toEqual(['installer.iso', 'tools.iso'])
    const { json } = await ask('GET', '/api/v1/storage/images?kind=disk')
    expect((json as { images: { path: string }[] }).images.map((image) => image.path).sort()).toEqual([
      path.join(cloud, 'disk.raw'),
      path.join(cloud, 'ubuntu-24.04.qcow2'),
    ])
  })

  it('keeps ids and folders over a restart, and moves no file', async () => {
    await start()
    await makePool()
    await makeIso(path.join(pool, 'iso', 'a.iso'), 'A')
    await scan()
    const [image] = await images()
    expect(image?.id).toMatch(/^[0-9a-f-]{14}5/)
    const moved = await ask('POST', `/api/v1/images/${image?.id}/move`, { folderPath: 'linux//server/' })
    expect(moved).toMatchObject({ status: 200, json: { folderPath: '/linux/server' } })
    expect((await ask('POST', `/api/v1/images/${image?.id}/move`, { folderPath: '../x' })).status).toBe(400)
    agent.kill('SIGKILL')
    await agent.exited
    await start()
    await until(async () => (await images()).length === 1)
    expect(await images()).toMatchObject([{ id: image?.id, folderPath: '/linux/server' }])
    expect(await names('?folder=/linux')).toEqual([])
    expect(await names('?folder=/linux&includeSubfolders=true')).toEqual(['a.iso'])
    expect((await ask('GET', '/api/v1/images/folders')).json).toEqual({ folders: ['/linux/server'] })
    expect(await readdir(path.join(pool, 'iso'))).toEqual(['a.iso'])
  })

  it('names a pool that does not answer instead of calling its images gone', async () => {
    await start()
    await makePool()
    await qcow2(path.join(pool, 'cloud-images', 'a.qcow2'))
    await scan()
    expect(await names()).toEqual(['a.qcow2'])
    await rename(pool, `${pool}-away`)
    const answer = (await scan()).json as { images: ImageBody[]; unseen: { place: string; error: string }[] }
    expect(answer.unseen).toMatchObject([{ place: poolId }])
    expect(answer.images.map(({ filename }) => filename)).toEqual(['a.qcow2'])
    await rename(`${pool}-away`, pool)
  })

  it('shows no image that is being downloaded before it is there', async () => {
    await using server = await startImageServer(rawDisk(2 * 1024 * 1024))
    await start()
    const { json } = await ask('POST', '/api/v1/images/download', {
      imageId: randomUUID(),
      url: `${server.origin}/paused`,
      targetDir: `${agent.stateDir}/cloud-images`,
      filename: 'new.raw',
    })
    const { jobId } = json as { jobId: string }
    const job = async () => (await ask('GET', `/api/v1/jobs/${jobId}`)).json as { state: string; bytesDone: number }
    await until(async () => (await job()).bytesDone > 0)
    await scan()
    expect(await names()).toEqual([])
    server.release()
    await until(async () => (await job()).state === 'completed')
    await scan()
    expect(await names()).toEqual(['new.raw'])
    expect(await images()).toMatchObject([
      { sourceUrl: `${server.origin}/paused`, checksum: expect.stringMatching(/^sha256:/) as string },
    ])
  })

  it.skipIf(libvirtDir === undefined)('deletes what nobody uses and nothing else', async () => {
    await start(`${libvirtDir ?? ''}/run/libvirt-sock`)
    await makePool()
    const cloud = path.join(pool, 'cloud-images')
    const places = [path.join(cloud, 'base.qcow2'), path.join(directory, 'plain', 'plain.qcow2')]
    for (const file of [...places, path.join(cloud, 'free.qcow2'), path.join(directory, 'plain', 'free2.qcow2')]) {
      await qcow2(file)
      await chmod(file, 0o644)
    }
    const made = await ask('POST', '/api/v1/vms', {
      name: `lib-${randomUUID().slice(0, 8)}`,
      cpuCores: 1,
      memoryMib: 64,
      disks: places.map((backingFile, n) => ({ id: `d${n}`, sizeGib: 1, backingFile, poolId })),
      nics: [],
    })
    expect(made.status, JSON.stringify(made.json)).toBe(201)
    const { vmId, name } = made.json as { vmId: string; name: string }
    await scan()
    await until(async () => (await images()).every(({ usersKnown }) => usersKnown))
    const listed = await images()
    expect(listed.map(({ filename }) => filename).sort()).toEqual([
      'base.qcow2',
      'free.qcow2',
      'free2.qcow2',
      'plain.qcow2',
    ])
    const byName = (fileName: string) => listed.find(({ filename }) => filename === fileName)
    for (const fileName of ['base.qcow2', 'plain.qcow2']) {
      expect(byName(fileName)?.usedBy).toEqual([expect.stringContaining(vmId)])
      const refused = await ask('DELETE', `/api/v1/images/${byName(fileName)?.id}`)
      expect(refused).toMatchObject({
        json: { error: 'image_in_use', message: expect.stringContaining(vmId) as string },
      })
    }
    for (const fileName of ['free.qcow2', 'free2.qcow2']) {
      expect((await ask('DELETE', `/api/v1/images/${byName(fileName)?.id}`)).status).toBe(204)
    }
    expect(await names()).toEqual(['base.qcow2', 'plain.qcow2'])
    expect((await readdir(cloud)).sort()).toEqual(['base.qcow2'])
    expect((await ask('DELETE', `/api/v1/vms/${vmId}`)).status).toBeLessThan(300)
    expect(name).toMatch(/^lib-/)
    await until(async () => (await ask('DELETE', `/api/v1/images/${byName('base.qcow2')?.id}`)).status === 204)
  })
})
