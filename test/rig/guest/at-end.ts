const works: (() => Promise<void>)[] = []

/** Runs `work` when the program in the guest ends, after its fixtures were closed: for what they share. */
export function atEnd(work: () => Promise<void>): void {
  works.push(work)
}

/** Runs what was asked for, the latest first; one that fails does not keep the others. */
export async function runAtEnd(): Promise<void> {
  for (const work of works.splice(0).reverse()) await work().catch((error: unknown) => console.error(error))
}
