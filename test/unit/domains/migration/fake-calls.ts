import { silentLogger, type OpContext } from '../../../../src/core/context.ts'
import { VIR_ERR } from '../../../../src/libvirt/constants.ts'
import { LibvirtError } from '../../../../src/libvirt/errors.ts'
import type { LibvirtCalls } from '../../../../src/domains/libvirt-domain.ts'

/** A libvirt that answers what a test says, by the name of the call; the VM is there unless it says otherwise. `asked` are the calls in their order. */
export function fakeCalls(answers: Readonly<Record<string, () => unknown>>): { client: LibvirtCalls; asked: string[] } {
  const asked: string[] = []
  const call = (procedure: string) => {
    const name = procedure.replace('remote:', '')
    asked.push(name)
    const answer = name === 'DOMAIN_LOOKUP_BY_UUID' ? (answers[name] ?? (() => ({ dom: {} }))) : answers[name]
    if (answer === undefined) return Promise.reject(new Error(`nobody expected ${name}`))
    return Promise.resolve().then(answer)
  }
  return { client: { call } as unknown as LibvirtCalls, asked }
}

export function libvirtError(code: number): LibvirtError {
  const none = { str1: null, str2: null, str3: null, int1: 0, int2: 0 }
  return new LibvirtError('remote:TEST', { code, domain: 10, level: 2, message: 'refused', ...none })
}

export function noDomain(): never {
  throw libvirtError(VIR_ERR.NO_DOMAIN)
}

export function context(): OpContext {
  return { signal: AbortSignal.timeout(60_000), log: silentLogger }
}
