/** What a metric is to Prometheus. */
export type MetricType = 'gauge' | 'counter'

/** Labels of one sample; values may hold anything. */
export type Labels = Readonly<Record<string, string>>

/** A label value in the text format: quotes, backslashes and line breaks must not end it. */
export function escapeLabel(value: string): string {
  return /[\\"\n]/.test(value) ? value.replace(/[\\"\n]/g, (mark) => (mark === '\n' ? '\\n' : `\\${mark}`)) : value
}

/** Labels as they stand between braces, to be made once for the many samples of one object. */
export function labelText(labels: Labels): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${escapeLabel(value)}"`)
    .join(',')
}

/**
 * Metrics in the Prometheus text format 0.0.4, each with its samples together, as the format wants it. For what has thousands of samples: a registry of objects per sample costs several times as
 * much as the text.
 */
export class Exposition {
  readonly #metrics = new Map<string, string[]>()

  /** Adds a metric; samples of it are added with what this returns. A value that is undefined is no sample. */
  metric(name: string, type: MetricType, help: string): (labels: string, value: number | undefined) => void {
    const lines = [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`]
    this.#metrics.set(name, lines)
    return (labels, value) => {
      if (value !== undefined && Number.isFinite(value)) lines.push(`${name}{${labels}} ${value}`)
    }
  }

  /** The page; metrics without samples are left out. */
  text(): string {
    const parts: string[] = []
    for (const lines of this.#metrics.values()) if (lines.length > 2) parts.push(lines.join('\n'), '\n')
    return parts.join('')
  }
}
