import { expect, test } from 'vitest'
import { outcomeSchema, uuidSchema } from '../../../../src/domains/migration/message-schemas.ts'

test('UUIDs are those that libvirt knows, of no version too, in one spelling', () => {
  expect(uuidSchema.parse('6F1CBBD2-1C9F-0A3C-0A0E-0A9C64F7F001')).toBe('6f1cbbd2-1c9f-0a3c-0a0e-0a9c64f7f001')
  expect(uuidSchema.safeParse('../6f1cbbd2').success).toBe(false)
})

test('a target that knows nothing of a VM does not say that it never ran there', () => {
  expect(outcomeSchema.parse({ state: 'unknown' })).toEqual({ state: 'unknown' })
})
