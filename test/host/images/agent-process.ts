import { startTestAgent } from './test-agent.ts'

// An agent to be killed: `agent-process.ts <dir> <url> <checksum>` begins one download and reports its job once bytes flow.
const [dir = '', url = '', checksum = ''] = process.argv.slice(2)
const agent = await startTestAgent(dir)
const signal = new AbortController().signal
const { jobId } = await agent.images.download(
  {
    imageId: 'i',
    catalogId: 'debian-12',
    url,
    targetDir: `${dir}/pool/cloud-images`,
    filename: '',
    poolId: 'pool-1',
    checksum,
    checksumType: '',
  },
  signal,
)
for await (const job of agent.images.watch(jobId, signal)) {
  if (job.bytesDone > 0) process.send?.({ jobId })
}
