const WASM_PAGE_BYTES = 64 * 1024

interface WasmMemory {
  readonly Memory: new (options: { initial: number; maximum: number; shared: true }) => { buffer: SharedArrayBuffer }
}

/** Zeroed memory that O_DIRECT takes and threads share, rounded up to 64 KiB: that of a WebAssembly instance is the one page-aligned, shareable buffer that plain Node offers. */
export function alignedMemory(bytes: number): SharedArrayBuffer {
  const { Memory } = (globalThis as unknown as { WebAssembly: WasmMemory }).WebAssembly
  const pages = Math.ceil(bytes / WASM_PAGE_BYTES)
  return new Memory({ initial: pages, maximum: pages, shared: true }).buffer
}
