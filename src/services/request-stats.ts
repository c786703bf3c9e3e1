/** Counts and durations of served requests, for the metrics page. Plain memory: recording one costs a map look-up. */
export interface RequestStats {
  record(transport: 'grpc' | 'http', method: string, code: string, durationMs: number): void
  entries(): Iterable<RequestStat>
}

export interface RequestStat {
  readonly transport: 'grpc' | 'http'
  /** gRPC method, or HTTP method and route pattern: a closed set, never a raw path. */
  readonly method: string
  /** gRPC status name or HTTP status code. */
  readonly code: string
  count: number
  totalMs: number
}

/** An empty set of counters; one per agent, shared by the transports. */
export function createRequestStats(): RequestStats {
  const stats = new Map<string, RequestStat>()
  return {
    record(transport, method, code, durationMs) {
      const key = `${transport} ${method} ${code}`
      let stat = stats.get(key)
      if (stat === undefined) stats.set(key, (stat = { transport, method, code, count: 0, totalMs: 0 }))
      stat.count++
      stat.totalMs += durationMs
    },
    entries: () => stats.values(),
  }
}
