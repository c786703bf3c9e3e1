import {
  VIR_TYPED_PARAM_BOOLEAN,
  VIR_TYPED_PARAM_DOUBLE,
  VIR_TYPED_PARAM_INT,
  VIR_TYPED_PARAM_LLONG,
  VIR_TYPED_PARAM_STRING,
  VIR_TYPED_PARAM_UINT,
  VIR_TYPED_PARAM_ULLONG,
} from './wire/constants.gen.ts'
import type { RemoteTypedParam } from './wire/remote-types.gen.ts'

/** A value of a typed parameter: 64 bit integers are always bigint, booleans boolean. */
export type TypedValue = number | bigint | string | boolean

/** Typed parameters by name, such as `cpu.time` of the statistics. */
export function readTypedParams(params: readonly RemoteTypedParam[]): Map<string, TypedValue> {
  return new Map(
    params.map(({ field, value }) => [field, value.type === VIR_TYPED_PARAM_BOOLEAN ? value.value !== 0 : value.value]),
  )
}

/** A numeric parameter as a number (exact up to 2^53), or undefined when it is missing or not numeric. */
export function numberParam(params: ReadonlyMap<string, TypedValue>, field: string): number | undefined {
  const value = params.get(field)
  if (typeof value === 'bigint') return Number(value)
  return typeof value === 'number' ? value : undefined
}

/** Makers of typed parameters: libvirt checks the type of each field it knows. */
export const typedParam = {
  int: (field: string, value: number): RemoteTypedParam => ({ field, value: { type: VIR_TYPED_PARAM_INT, value } }),
  uint: (field: string, value: number): RemoteTypedParam => ({ field, value: { type: VIR_TYPED_PARAM_UINT, value } }),
  llong: (field: string, value: bigint): RemoteTypedParam => ({ field, value: { type: VIR_TYPED_PARAM_LLONG, value } }),
  ullong: (field: string, value: bigint): RemoteTypedParam => ({
    field,
    value: { type: VIR_TYPED_PARAM_ULLONG, value },
  }),
  double: (field: string, value: number): RemoteTypedParam => ({
    field,
    value: { type: VIR_TYPED_PARAM_DOUBLE, value },
  }),
  boolean: (field: string, value: boolean): RemoteTypedParam => ({
    field,
    value: { type: VIR_TYPED_PARAM_BOOLEAN, value: value ? 1 : 0 },
  }),
  string: (field: string, value: string): RemoteTypedParam => ({
    field,
    value: { type: VIR_TYPED_PARAM_STRING, value },
  }),
}
