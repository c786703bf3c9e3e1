import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import type { CreateVmRequest } from '../../../src/core/model.ts'
import { liveClient } from '../libvirt/live.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import {
  endAgent,
  makeBase,
  newDisk,
  openAgent,
  removeBase,
  vmFiles,
  vmRequest,
  waitForBoot,
  within,
  type AgentParts,
} from './agent-fixture.ts'
import { makeBootImage } from './boot-sector.ts'

const missing = await requirePrerequisite('libvirt', missingLibvirt)
const COUNT = 30
const SECONDS = 600

describe.skipIf(missing !== undefined)('many VMs at once', { timeout: SECONDS * 1000 }, () => {
  let agent: AgentParts
  let image: string
  const libvirtDir = inject('libvirtDir') ?? ''
  beforeAll(async () => {
    agent = await openAgent(await makeBase(), libvirtDir)
    image = path.join(agent.base, 'images/boot.qcow2')
    await makeBootImage(image, 'ignores')
  })
  afterAll(async () => {
    await endAgent(agent)
    await removeBase(agent.base)
  })

  // Everything that could end an element, an attribute or a comment where it stands.
  const hostile = (index: number) => `vm ${index} <&>"']]> <!-- --> &amp; ü`
  const request = (index: number): CreateVmRequest =>
    vmRequest(
      { name: hostile(index), labels: { description: `</metadata><domain> ${hostile(index)}\n${index}` } },
      {
        memoryBytes: 32 * 1024 * 1024,
        disks: [newDisk({ backingFile: image, sizeBytes: 0 }), newDisk({ id: `data-${index}` })],
      },
    )

  test(`${COUNT} are made, started and deleted together: each is its own, and nothing is left`, async () => {
    const before = await vmFiles(agent)
    const requests = Array.from({ length: COUNT }, (_, index) => request(index))
    const all = <T>(work: (one: CreateVmRequest, index: number) => Promise<T>) => Promise.all(requests.map(work))

    const made = await all((one) => agent.vms.create(one, within(SECONDS)))
    expect(made).toEqual(requests.map(({ vmId }) => ({ vmId, created: true })))
    await all(({ vmId }) => agent.vms.start(vmId, within(SECONDS)))
    await all(({ vmId }) => waitForBoot(agent, vmId))

    const listed = new Map((await agent.vms.list(within(SECONDS))).map((vm) => [vm.vmId, vm]))
    for (const [index, { vmId, labels }] of requests.entries()) {
      const vm = listed.get(vmId)
      expect(vm).toMatchObject({ name: hostile(index), state: 'RUNNING', labels })
      expect(vm?.disks.map(({ id }) => id)).toEqual(['root', `data-${index}`])
      // Its own volumes: those of its directory, which carries its id.
      for (const disk of vm?.disks ?? []) expect(disk.path).toContain(vmId.slice(0, 8))
      const log = await readFile(path.join(agent.base, 'state/vms', vmId, 'console.log'), 'utf8')
      expect(log.match(/BOOTED/g)).toHaveLength(1)
    }

    // Half of them by their power, half as they run.
    await all(async ({ vmId }, index) => {
      if (index % 2 === 0) await agent.vms.forceStop(vmId, within(SECONDS))
      await agent.vms.delete(vmId, within(SECONDS))
    })
    expect(await agent.vms.list(within())).toEqual([])
    expect(await vmFiles(agent)).toEqual(before)
    expect(agent.operations.list().filter(({ state }) => state !== 'completed')).toEqual([])
    const client = await liveClient('qemu:///system', {}, libvirtDir)
    try {
      const { domains } = await client.call('remote:CONNECT_LIST_ALL_DOMAINS', { need_results: 1, flags: 0 })
      expect(domains.map(({ name }) => name).filter((name) => name.startsWith('vm '))).toEqual([])
    } finally {
      await client.close()
    }
    const running = await Promise.all(
      (await readdir('/proc')).map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')),
    )
    expect(running.filter((line) => requests.some(({ vmId }) => line.includes(vmId)))).toEqual([])
  })
})
