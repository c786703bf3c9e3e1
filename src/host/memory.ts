import { KIB } from '../core/bytes.ts'
import type { MemoryFacts } from '../core/model.ts'

/** Parses /proc/meminfo. Used = total - available, what the kernel could not give to a new program without swapping. */
export function parseMemInfo(text: string): MemoryFacts {
  const values = new Map<string, number>()
  for (const match of text.matchAll(/^([A-Za-z_()0-9]+):\s+(\d+)/gm)) values.set(match[1] ?? '', Number(match[2]) * KIB)
  const value = (key: string) => values.get(key) ?? 0
  const totalBytes = value('MemTotal')
  // Kernels before 3.14 do not estimate it.
  const available = values.get('MemAvailable') ?? value('MemFree') + value('Buffers') + value('Cached')
  const availableBytes = Math.min(available, totalBytes)
  const swapTotalBytes = value('SwapTotal')
  return {
    totalBytes,
    availableBytes,
    usedBytes: totalBytes - availableBytes,
    swapTotalBytes,
    swapUsedBytes: Math.max(0, swapTotalBytes - value('SwapFree')),
  }
}
