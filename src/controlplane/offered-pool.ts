import { z } from 'zod'
import type { PoolConfig, PoolKind } from '../core/model.ts'

type Member = 'nfs' | 'ceph' | 'iscsi' | 'localDir' | 'localLvm'

// BackendType of the control plane, by number and by name, and the member that belongs to it. Number 0 is left out on the wire.
const TYPES: readonly {
  readonly names: readonly (string | number)[]
  readonly kind: PoolKind
  readonly member: Member
}[] = [
  { names: [0, 'CEPH_RBD'], kind: 'CEPH_RBD', member: 'ceph' },
  { names: [1, 'CEPH_CEPHFS'], kind: 'CEPH_FS', member: 'ceph' },
  { names: [2, 'LOCAL_LVM'], kind: 'LOCAL_LVM', member: 'localLvm' },
  { names: [3, 'LOCAL_DIR'], kind: 'LOCAL_DIR', member: 'localDir' },
  { names: [4, 'NFS'], kind: 'NFS', member: 'nfs' },
  { names: [5, 'ISCSI'], kind: 'ISCSI', member: 'iscsi' },
]

const member = z.record(z.string(), z.unknown()).optional()

/** As much of GetPool's answer as tells where a pool is. */
export const offeredPool = z.object({
  spec: z
    .object({
      backend: z
        .object({
          type: z.union([z.string(), z.number()]).default(0),
          nfs: member,
          ceph: member,
          iscsi: member,
          localDir: member,
          localLvm: member,
        })
        .optional(),
    })
    .optional(),
})

/**
 * The configuration in an answer of GetPool, or undefined when there is none: existing control planes strip it, and a type alone says nothing about where the pool
 * is (contract 3.5). A pool that is kept on another node is not ours to make.
 */
export function offeredConfig(
  poolId: string,
  pool: z.output<typeof offeredPool>,
  nodeId: string,
): PoolConfig | undefined {
  const backend = pool.spec?.backend
  if (backend === undefined) return undefined
  const name = typeof backend.type === 'string' ? backend.type.replace(/^(STORAGE_)?BACKEND_TYPE_/, '') : backend.type
  const type = TYPES.find(({ names }) => names.includes(name))
  const given = type === undefined ? undefined : backend[type.member]
  if (type === undefined || given === undefined) return undefined
  const { nodeId: home, ...options } = given
  if (typeof home === 'string' && home !== '' && home !== nodeId) return undefined
  const filled = Object.entries(options).filter(([, value]) => !isEmpty(value))
  return filled.length === 0 ? undefined : { poolId, kind: type.kind, options: Object.fromEntries(filled) }
}

// proto3 has no "absent" for plain fields.
function isEmpty(value: unknown): boolean {
  return value === '' || value === null || value === undefined || (Array.isArray(value) && value.length === 0)
}
