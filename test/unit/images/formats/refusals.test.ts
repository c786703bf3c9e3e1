import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { IMAGE_FORMATS } from '../../../../src/images/formats/formats.ts'
import { REFUSALS } from '../../../../src/images/formats/refusal.ts'

describe('docs/images.md', () => {
  it('has every refusal, with meaning and remedy, and no other', async () => {
    const page = await readFile('docs/images.md', 'utf8')
    const rows = page.split('\n').map((row) => row.split('|').map((cell) => cell.trim()))
    const start = rows.findIndex(([, first]) => first === '`refusal`')
    const end = rows.findIndex((cells, index) => index > start && cells.length < 2)
    const table = rows.slice(start + 2, end).map(([, code, meaning, remedy]) => [code, meaning, remedy])
    expect(table).toEqual(
      Object.entries(REFUSALS).map(([code, { meaning, remedy }]) => [`\`${code}\``, meaning, remedy]),
    )
  })

  it('has every format', async () => {
    const page = await readFile('docs/images.md', 'utf8')
    for (const { name } of IMAGE_FORMATS) expect(page).toMatch(new RegExp(`^\\| \`${name}\``, 'm'))
  })
})
