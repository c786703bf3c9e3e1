import { AgentError, errorText, toAgentError } from '../core/errors.ts'
import type { Reason } from '../core/reasons.ts'
import { VIR_ERR } from './constants.ts'
import { LibvirtError, LibvirtGone, LibvirtTimeout } from './errors.ts'

const REASON_BY_CODE: Readonly<Partial<Record<number, Reason>>> = {
  [VIR_ERR.NO_DOMAIN]: 'VM_NOT_FOUND',
  [VIR_ERR.OPERATION_INVALID]: 'VM_STATE_CONFLICT',
  [VIR_ERR.OPERATION_TIMEOUT]: 'LIBVIRT_TIMEOUT',
  [VIR_ERR.NO_NETWORK]: 'NETWORK_UNKNOWN',
  [VIR_ERR.XML_ERROR]: 'VM_SPEC_INVALID',
  [VIR_ERR.XML_INVALID_SCHEMA]: 'VM_SPEC_INVALID',
  [VIR_ERR.CONFIG_UNSUPPORTED]: 'VM_SPEC_INVALID',
  [VIR_ERR.DOM_EXIST]: 'VM_NAME_TAKEN',
}

/**
 * Anything that a call of the client threw as an AgentError about `object` (`VM web-1`): the border where virErrorNumber becomes a reason.
 * Details carry libvirt's code, domain and str1..3.
 */
export function fromLibvirt(error: unknown, object: string): AgentError {
  if (error instanceof LibvirtGone || error instanceof LibvirtTimeout) {
    const reason =
      error instanceof LibvirtTimeout
        ? 'LIBVIRT_TIMEOUT'
        : error.outcomeUnknown
          ? 'LIBVIRT_OUTCOME_UNKNOWN'
          : 'LIBVIRT_UNAVAILABLE'
    return new AgentError(reason, `${object}: ${error.message}`, {
      cause: error,
      details: { procedure: error.procedure },
    })
  }
  if (!(error instanceof LibvirtError)) return toAgentError(error)
  const reason = REASON_BY_CODE[error.code] ?? 'LIBVIRT_REFUSED'
  // The one text that control planes look for, and only when libvirt itself said so.
  const text = reason === 'VM_NOT_FOUND' ? `VM not found: ${object}` : `${object}: libvirt: ${errorText(error)}`
  return new AgentError(reason, text, {
    cause: error,
    details: errorDetails(error),
  })
}

function errorDetails(error: LibvirtError): Record<string, string> {
  const details: Record<string, string> = {
    procedure: error.procedure,
    libvirtCode: error.codeName,
    libvirtDomain: String(error.domain),
  }
  for (const key of ['str1', 'str2', 'str3'] as const) {
    const text = error[key]
    if (text !== null && text !== error.message) details[key] = text
  }
  return details
}
