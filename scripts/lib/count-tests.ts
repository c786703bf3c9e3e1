// Prints "PASSED FAILED SKIPPED" for one of vitest's JSON reports. A report that is missing or cannot be read, and a
// test file that could not even be loaded, count as one failure each.
import { readFile } from 'node:fs/promises'

interface Report {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
  readonly testResults: readonly { readonly status: string; readonly assertionResults: readonly { status: string }[] }[]
}

async function count(path: string): Promise<readonly [passed: number, failed: number, skipped: number]> {
  let report: Report
  try {
    report = JSON.parse(await readFile(path, 'utf8')) as Report
  } catch (error) {
    process.stderr.write(`no usable report ${path}: ${String(error)}\n`)
    return [0, 1, 0]
  }
  const brokenFiles = report.testResults.filter(
    (file) => file.status === 'failed' && file.assertionResults.every(({ status }) => status !== 'failed'),
  ).length
  return [report.numPassedTests, report.numFailedTests + brokenFiles, report.numPendingTests + report.numTodoTests]
}

process.stdout.write(`${(await count(process.argv[2] ?? '')).join(' ')}\n`)
