/** One call that is measured again and again. */
export interface LatencyCall {
  readonly name: string
  readonly method: string
  readonly request: object
  /** Ask the bare gRPC server in the guest instead of the agent. */
  readonly echo?: boolean
}

/** One answer. */
export interface LatencySample {
  readonly name: string
  /** When it came: milliseconds since the epoch, by the guest's clock. */
  readonly at: number
  readonly ms: number
  /** Empty when it was good. */
  readonly error: string
}

/** What the meter is told. */
export interface LatencyPlan {
  /** Of the agent's gRPC API; absent when only the bare server is asked. */
  readonly address?: string
  readonly calls: readonly LatencyCall[]
  readonly pauseMs: number
}
