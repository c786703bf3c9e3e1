/** How hosts share the work on one image of a shared pool. */
export interface LeaseSettings {
  /** This agent's id: what it left itself is taken up at once. */
  readonly holder: string
  /** A lease without a sign of life for this long, by the clock of whoever looks, belongs to a dead host. */
  readonly timeoutMs: number
}
