import { VIR_ERR } from './constants.ts'

/** What libvirt says about a failed call (virNetMessageError). */
export interface LibvirtErrorFields {
  readonly code: number
  readonly domain: number
  readonly level: number
  readonly message: string
  readonly str1: string | null
  readonly str2: string | null
  readonly str3: string | null
  readonly int1: number
  readonly int2: number
}

/**
 * libvirt answered a call with an error. `code` is a virErrorNumber (see VIR_ERR), `domain` the part of libvirt that raised it. The code alone
 * can be ambiguous: 38 is any system error, with its errno in `int1`; `str1` is usually the format, `str2` its detail.
 */
export class LibvirtError extends Error implements LibvirtErrorFields {
  readonly procedure: string
  readonly code: number
  readonly domain: number
  readonly level: number
  readonly str1: string | null
  readonly str2: string | null
  readonly str3: string | null
  readonly int1: number
  readonly int2: number

  constructor(procedure: string, fields: LibvirtErrorFields) {
    super(fields.message)
    this.name = 'LibvirtError'
    this.procedure = procedure
    this.code = fields.code
    this.domain = fields.domain
    this.level = fields.level
    this.str1 = fields.str1
    this.str2 = fields.str2
    this.str3 = fields.str3
    this.int1 = fields.int1
    this.int2 = fields.int2
  }

  /** libvirt's name of the code, such as `VIR_ERR_NO_DOMAIN`. */
  get codeName(): string {
    const found = Object.entries(VIR_ERR).find(([, code]) => code === this.code)
    return found === undefined ? `VIR_ERR_${this.code}` : `VIR_ERR_${found[0]}`
  }
}

/**
 * The connection was not there or broke. With `outcomeUnknown` the call had been sent, so libvirt may have carried it out: read the state again
 * before repeating anything that changes it.
 */
export class LibvirtGone extends Error {
  readonly procedure: string
  readonly outcomeUnknown: boolean

  constructor(procedure: string, outcomeUnknown: boolean, why: string, cause?: unknown) {
    super(
      outcomeUnknown
        ? `the connection to libvirt broke during ${procedure}, so its outcome is unknown: ${why}`
        : `no connection to libvirt for ${procedure}: ${why}`,
      cause === undefined ? undefined : { cause },
    )
    this.name = 'LibvirtGone'
    this.procedure = procedure
    this.outcomeUnknown = outcomeUnknown
  }
}

/** No answer within the time of the call. With `outcomeUnknown` it had been sent (the protocol has no cancel); otherwise it never left our queue. */
export class LibvirtTimeout extends Error {
  readonly procedure: string
  readonly timeoutMs: number
  readonly outcomeUnknown: boolean

  constructor(procedure: string, timeoutMs: number, outcomeUnknown: boolean) {
    super(
      outcomeUnknown
        ? `libvirt did not answer ${procedure} within ${timeoutMs} ms, so its outcome is unknown`
        : `${procedure} waited ${timeoutMs} ms for its turn and was not sent: earlier calls to libvirt are stuck`,
    )
    this.name = 'LibvirtTimeout'
    this.procedure = procedure
    this.timeoutMs = timeoutMs
    this.outcomeUnknown = outcomeUnknown
  }
}

/** The daemon sent bytes that the protocol does not allow; the connection that brought them is closed. */
export class LibvirtProtocolError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'LibvirtProtocolError'
  }
}

/** True for libvirt's answer with one of the given codes (see VIR_ERR). */
export function isLibvirtError(error: unknown, ...codes: number[]): error is LibvirtError {
  return error instanceof LibvirtError && (codes.length === 0 || codes.includes(error.code))
}

/** True when the daemon or its driver does not have the procedure: an older libvirt, or another hypervisor. */
export function isUnsupported(error: unknown): error is LibvirtError {
  if (isLibvirtError(error, VIR_ERR.NO_SUPPORT)) return true
  return isLibvirtError(error, VIR_ERR.RPC) && error.message.includes('unknown procedure')
}
