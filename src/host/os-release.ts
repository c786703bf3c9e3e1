/** Name and version of the operating system from os-release(5). */
export interface OsRelease {
  readonly name: string
  readonly version: string
}

/** Parses os-release: shell-like assignments with optional quotes; anything else is skipped. Name defaults to `Linux`, as the format says. */
export function parseOsRelease(text: string): OsRelease {
  const values = new Map<string, string>()
  for (const line of text.split('\n')) {
    const match = /^([A-Z0-9_]+)=(.*)$/.exec(line.trim())
    if (match !== null) values.set(match[1] ?? '', unquote(match[2] ?? ''))
  }
  return {
    name: values.get('NAME') ?? 'Linux',
    version: values.get('VERSION') ?? values.get('VERSION_ID') ?? values.get('BUILD_ID') ?? '',
  }
}

function unquote(text: string): string {
  const quoted = /^(["'])(.*)\1$/.exec(text)
  return (quoted?.[2] ?? text).replace(/\\(["'`$\\])/g, '$1')
}
