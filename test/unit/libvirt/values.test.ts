import { describe, expect, test } from 'vitest'
import { AgentError } from '../../../src/core/errors.ts'
import { fromLibvirt } from '../../../src/libvirt/agent-errors.ts'
import { VIR_ERR } from '../../../src/libvirt/constants.ts'
import { LibvirtError, LibvirtGone, LibvirtTimeout } from '../../../src/libvirt/errors.ts'
import { numberParam, readTypedParams, typedParam } from '../../../src/libvirt/typed-params.ts'
import { uuidBytes, uuidText } from '../../../src/libvirt/uuid.ts'

describe('typed parameters', () => {
  test('keep 64 bit integers exact and booleans boolean', () => {
    const params = readTypedParams([
      typedParam.ullong('cpu.time', 2n ** 63n),
      typedParam.llong('balloon.current', -5n),
      typedParam.int('state.state', 1),
      typedParam.boolean('net.0.up', true),
      typedParam.string('block.0.name', 'vda'),
      typedParam.double('load', 0.5),
      typedParam.uint('vcpu.current', 4_294_967_295),
    ])
    expect(Object.fromEntries(params)).toEqual({
      'cpu.time': 2n ** 63n,
      'balloon.current': -5n,
      'state.state': 1,
      'net.0.up': true,
      'block.0.name': 'vda',
      load: 0.5,
      'vcpu.current': 4_294_967_295,
    })
    expect(numberParam(params, 'balloon.current')).toBe(-5)
    expect(numberParam(params, 'state.state')).toBe(1)
    expect(numberParam(params, 'block.0.name')).toBeUndefined()
    expect(numberParam(params, 'missing')).toBeUndefined()
  })
})

describe('UUIDs', () => {
  test('go both ways', () => {
    const text = '00112233-4455-6677-8899-aabbccddeeff'
    expect(uuidText(uuidBytes(text.toUpperCase()))).toBe(text)
  })

  test.each(['', 'web-1', '00112233-4455-6677-8899-aabbccddeef', '00112233445566778899aabbccddeeff'])(
    '%j is refused',
    (text) => {
      expect(() => uuidBytes(text)).toThrow(AgentError)
    },
  )
})

describe('fromLibvirt', () => {
  const answer = (code: number, message: string) =>
    new LibvirtError('remote:DOMAIN_CREATE', {
      code,
      domain: 10,
      level: 2,
      message,
      str1: '%s',
      str2: message,
      str3: null,
      int1: -1,
      int2: -1,
    })

  test('says "VM not found" only when libvirt said that there is no such domain', () => {
    expect(fromLibvirt(answer(VIR_ERR.NO_DOMAIN, 'Domain not found'), 'VM web-1')).toMatchObject({
      reason: 'VM_NOT_FOUND',
      code: 'NOT_FOUND',
      message: 'VM not found: VM web-1',
    })
    expect(
      fromLibvirt(new LibvirtGone('remote:DOMAIN_LOOKUP_BY_UUID', false, 'ECONNREFUSED'), 'VM web-1'),
    ).toMatchObject({
      reason: 'LIBVIRT_UNAVAILABLE',
      code: 'UNAVAILABLE',
    })
  })

  test.each([
    [new LibvirtGone('p', true, 'cut'), 'LIBVIRT_OUTCOME_UNKNOWN'],
    [new LibvirtTimeout('p', 5, true), 'LIBVIRT_TIMEOUT'],
    [answer(VIR_ERR.OPERATION_INVALID, 'domain is not running'), 'VM_STATE_CONFLICT'],
    [answer(VIR_ERR.SYSTEM_ERROR, 'Cannot open'), 'LIBVIRT_REFUSED'],
    [new TypeError('a bug'), 'INTERNAL'],
  ])('%s is %s', (error, reason) => {
    expect(fromLibvirt(error, 'VM web-1').reason).toBe(reason)
  })

  test('keeps what libvirt said in the details', () => {
    expect(fromLibvirt(answer(VIR_ERR.SYSTEM_ERROR, 'Cannot open'), 'VM web-1').details).toEqual({
      procedure: 'remote:DOMAIN_CREATE',
      libvirtCode: 'VIR_ERR_SYSTEM_ERROR',
      libvirtDomain: '10',
      str1: '%s',
    })
  })
})
