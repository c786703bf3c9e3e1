import { z } from 'zod'

// Forms of the answers of qemu-ga (qga/qapi-schema.json). Whoever owns the guest decides what its agent says: nothing here is more than a claim.

const count = z.number().int().nonnegative()

export const startedAnswer = z.object({ pid: z.number() })

export const execStatusAnswer = z.object({
  exited: z.boolean(),
  exitcode: z.number().optional(),
  signal: z.number().optional(),
  'out-data': z.string().optional(),
  'err-data': z.string().optional(),
  'out-truncated': z.boolean().optional(),
  'err-truncated': z.boolean().optional(),
})

export const fileChunkAnswer = z.object({ 'buf-b64': z.string().optional(), eof: z.boolean().optional() })

export const infoAnswer = z.object({
  version: z.string(),
  supported_commands: z.array(z.object({ name: z.string(), enabled: z.boolean() })),
})

export const hostNameAnswer = z.object({ 'host-name': z.string() })

/** Every key is absent where the guest's system does not say it. */
export const osInfoAnswer = z.object({
  id: z.string().optional(),
  name: z.string().optional(),
  'pretty-name': z.string().optional(),
  version: z.string().optional(),
  'version-id': z.string().optional(),
  'kernel-release': z.string().optional(),
  machine: z.string().optional(),
})

export const interfacesAnswer = z.array(
  z.object({
    name: z.string(),
    'hardware-address': z.string().optional(),
    'ip-addresses': z
      .array(z.object({ 'ip-address': z.union([z.ipv4(), z.ipv6()]), 'ip-address-type': z.enum(['ipv4', 'ipv6']) }))
      .optional(),
  }),
)

export const fileSystemsAnswer = z.array(
  z.object({
    name: z.string(),
    mountpoint: z.string(),
    type: z.string(),
    'used-bytes': count.optional(),
    'total-bytes': count.optional(),
  }),
)

export const usersAnswer = z.array(
  z.object({ user: z.string(), domain: z.string().optional(), 'login-time': z.number() }),
)

export const loadAnswer = z.object({ load1m: z.number(), load5m: z.number(), load15m: z.number() })
