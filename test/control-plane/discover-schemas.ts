import { z } from 'zod'

// As Go decodes it: an integer must be one, text may not be null. Keys the control plane does not read (driver, passthroughCapable) are named all the same.
const text = z.string()
const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER)

/** GET /api/v1/registration/token. */
export const registrationToken = z.object({
  token: text.min(1),
  createdAt: z.iso.datetime(),
  expiresAt: z.iso.datetime(),
  expiresInSeconds: count,
  hostname: text.min(1),
  managementIp: text,
})

/** GET /api/v1/registration/discovery. */
export const discovery = z.strictObject({
  hostname: text.min(1),
  managementIp: text,
  cpu: z.strictObject({
    model: text,
    vendor: text,
    cores: count,
    threads: count,
    sockets: count,
    frequencyMhz: count,
    features: z.array(text).nullable(),
    architecture: text,
  }),
  memory: z.strictObject({
    totalBytes: count,
    availableBytes: count,
    usedBytes: count,
    swapTotalBytes: count,
    swapUsedBytes: count,
    eccEnabled: z.boolean(),
    dimmCount: count,
  }),
  storage: z.strictObject({
    local: z
      .array(
        z.strictObject({
          name: text.min(1),
          model: text,
          serial: text,
          sizeBytes: count,
          diskType: text,
          interface: text,
          isRemovable: z.boolean(),
          smartStatus: text,
          partitions: z
            .array(
              z.strictObject({
                name: text,
                mountPoint: text,
                filesystem: text,
                sizeBytes: count,
                usedBytes: count,
              }),
            )
            .nullable(),
        }),
      )
      .nullable(),
    nfs: z
      .array(
        z.strictObject({
          mountPoint: text,
          server: text,
          exportPath: text,
          sizeBytes: count,
          usedBytes: count,
          availableBytes: count,
        }),
      )
      .nullable(),
    iscsi: z
      .array(z.strictObject({ targetIqn: text, portal: text, devicePath: text, sizeBytes: count, lun: count }))
      .nullable(),
  }),
  network: z
    .array(
      z.strictObject({
        name: text,
        macAddress: text,
        driver: text,
        speedMbps: count.nullable(),
        linkState: text,
        pciAddress: text.nullable(),
        sriovCapable: z.boolean(),
        sriovVfs: count,
      }),
    )
    .nullable(),
  gpus: z
    .array(
      z.strictObject({
        name: text,
        vendor: text,
        pciAddress: text,
        driver: text,
        memoryBytes: count,
        vgpuProfiles: text,
        passthroughCapable: z.boolean(),
      }),
    )
    .nullable(),
})

export type Discovery = z.infer<typeof discovery>
