import { mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { missingCommand, missingRoot, requirePrerequisite } from '../require.ts'
import { checkoutPath, runScript, type ScriptResult } from '../scripts/run-script.ts'

const cache = join(process.env['LIMIQUANTIX_CACHE'] ?? '/var/cache/limiquantix', 'container-test')
const BASE = 'localhost/limiquantix-test-base:bookworm'
const IMAGE = 'localhost/limiquantix-node:test'
/** Debian packages, npm packages and the bundle, nothing cached: about three minutes. */
const BUILD_TIMEOUT_MS = 900_000
const MOST_IMAGES = 40

const lacking = await requirePrerequisite(
  'buildah',
  async () => missingRoot() ?? (await missingCommand('buildah', 'mmdebstrap')()),
)

/** buildah with a storage of its own, without namespaces, so that it works in containers and sandboxes too. */
function buildah(args: readonly string[], timeoutMs = 120_000): Promise<ScriptResult> {
  return runScript('buildah', ['--root', join(cache, 'root'), '--runroot', join(cache, 'run'), ...args], {
    timeoutMs,
    env: { BUILDAH_ISOLATION: 'chroot' },
  })
}

async function succeeds(result: Promise<ScriptResult>): Promise<string> {
  const { code, stdout, stderr } = await result
  if (code !== 0) throw new Error(`exit code ${code}:\n${(stdout + stderr).slice(-4000)}`)
  return stdout
}

/** A base image of Debian packages, from the machine's own package sources: no image registry is involved. */
async function makeBaseImage(): Promise<void> {
  if ((await buildah(['images', '--quiet', BASE])).code === 0) return
  const archive = join(cache, 'base.tar')
  const options = [
    '--quiet',
    '--mode=root',
    '--variant=minbase',
    '--include=ca-certificates',
    '--dpkgopt=force-unsafe-io',
  ]
  const sources = await succeeds(
    runScript('sh', ['-c', 'ls /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources 2>/dev/null || true']),
  )
  await succeeds(
    runScript('mmdebstrap', [...options, 'bookworm', archive, ...sources.split('\n').filter(Boolean)], {
      timeoutMs: BUILD_TIMEOUT_MS,
    }),
  )
  const container = (await succeeds(buildah(['from', 'scratch']))).trim()
  await succeeds(buildah(['add', '--quiet', container, archive, '/']))
  await succeeds(buildah(['commit', '--quiet', '--rm', container, BASE]))
  await rm(archive)
}

describe.skipIf(lacking)('Dockerfile', () => {
  beforeAll(async () => {
    await mkdir(cache, { recursive: true })
    await makeBaseImage()
    // The host's trust in its own proxies and mirrors applies inside the build too.
    const trust = ['--volume', '/etc/ssl/certs:/etc/ssl/certs:ro']
    const extra = process.env['NODE_EXTRA_CA_CERTS']
    if (extra !== undefined)
      trust.push('--build-arg', `NODE_EXTRA_CA_CERTS=${extra}`, '--volume', `${extra}:${extra}:ro`)
    await succeeds(
      buildah(
        [
          'build',
          '--isolation',
          'chroot',
          '--layers',
          '--build-arg',
          `BASE=${BASE}`,
          ...trust,
          '--tag',
          IMAGE,
          checkoutPath(''),
        ],
        BUILD_TIMEOUT_MS,
      ),
    )
    // The layers of earlier builds make the next one fast; a heap of them only fills the disk.
    const images = await succeeds(buildah(['images', '--all', '--quiet']))
    if (images.split('\n').length > MOST_IMAGES) await buildah(['rmi', '--prune'])
  }, BUILD_TIMEOUT_MS)

  /** Runs a program in a fresh container of the image. */
  async function inContainer(...command: readonly string[]): Promise<ScriptResult> {
    const container = (await succeeds(buildah(['from', '--pull-never', IMAGE]))).trim()
    try {
      return await buildah(['run', '--isolation', 'chroot', container, '--', ...command])
    } finally {
      await buildah(['rm', container])
    }
  }

  test('makes an image in which the agent starts, on its own Node 24', async () => {
    const { version } = JSON.parse(await readFile(checkoutPath('package.json'), 'utf8')) as { version: string }
    const result = await inContainer('limiquantix-node', 'version')
    expect(result.code).toBe(0)
    expect(result.stdout).toMatch(new RegExp(`^limiquantix-node ${version.replaceAll('.', '\\.')} \\(node v24\\.`))
  })

  test('holds the tools that the agent calls, and neither npm nor sources', async () => {
    expect(await inContainer('sh', '-c', 'command -v qemu-img genisoimage mount.nfs >/dev/null')).toMatchObject({
      code: 0,
    })
    expect((await inContainer('sh', '-c', 'command -v npm || ls /opt/limiquantix-node')).stdout).toBe('bin\ndist\n')
  })

  test('starts the agent with the mounted configuration by default', async () => {
    const { OCIv1 } = JSON.parse(await succeeds(buildah(['inspect', '--type', 'image', IMAGE]))) as {
      OCIv1: { config: { Entrypoint: string[]; Cmd: string[] } }
    }
    expect([...OCIv1.config.Entrypoint, ...OCIv1.config.Cmd]).toEqual([
      'limiquantix-node',
      'serve',
      '--config',
      '/etc/limiquantix/node.yaml',
    ])
  })
})
