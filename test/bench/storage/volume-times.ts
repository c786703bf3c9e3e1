import { median, printTable } from '../measure.ts'
import { timed } from './section.ts'

/** One way to make a volume and to delete it again. */
export interface VolumeMaker {
  readonly name: string
  create(): Promise<unknown>
  remove(): Promise<unknown>
}

/** Runs the makers in turn, `rounds` times, and prints the median of each beside the first one. */
export async function printVolumeTimes(title: string, rounds: number, makers: readonly VolumeMaker[]): Promise<void> {
  const times = makers.map(() => ({ create: [] as number[], remove: [] as number[] }))
  for (let round = 0; round < rounds; round++) {
    for (const [index, maker] of makers.entries()) {
      times[index]?.create.push(await timed(() => maker.create()))
      times[index]?.remove.push(await timed(() => maker.remove()))
    }
  }
  const of = (index: number, step: 'create' | 'remove') => median(times[index]?.[step] ?? [])
  printTable(
    `${title}, ms, median of ${rounds} interleaved rounds`,
    ['', 'create', 'ratio', 'delete', 'ratio'],
    makers.map(({ name }, index) => [
      name,
      ...(['create', 'remove'] as const).flatMap((step) => [
        of(index, step).toFixed(1),
        (of(index, step) / of(0, step)).toFixed(2),
      ]),
    ]),
  )
}
