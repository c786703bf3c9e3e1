import { AgentError } from '../../core/errors.ts'

/** Fires when the agent stops, and not when the operation is cancelled: what became of a VM has to be known all the same. */
export function agentStops(signal: AbortSignal): AbortSignal {
  const controller = new AbortController()
  const look = () => {
    if (signal.reason instanceof AgentError && signal.reason.reason === 'SHUTTING_DOWN') controller.abort(signal.reason)
  }
  if (signal.aborted) look()
  else signal.addEventListener('abort', look, { once: true })
  return controller.signal
}
