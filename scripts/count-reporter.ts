/**
 * A vitest reporter that writes what ran, and the run's counts, as JSON to the file named by `GREENROOM_COUNTS`: vitest's
 * own output has no line that a program can rely on.
 */
import { writeFileSync } from 'node:fs'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Reporter, TestModule } from 'vitest/node'

const root = fileURLToPath(new URL('..', import.meta.url))

/** How many tests passed, failed and were skipped. */
export interface Counts {
  passed: number
  failed: number
  skipped: number
}

/** A test that was run, or left out. */
export interface Ran {
  /** Its file, from the root. */
  readonly file: string
  /** Its title without those of its groups. */
  readonly name: string
  readonly state: keyof Counts
}

/** What the reporter writes. */
export interface Report extends Counts {
  readonly tests: Ran[]
}

/** Counts tests; a file that failed to load and an error outside of a test are one failure each. */
export default class CountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly unknown[]): void {
    const report: Report = { passed: 0, failed: unhandled.length, skipped: 0, tests: [] }
    for (const module of modules) {
      report.failed += module.errors().length
      const file = relative(root, module.moduleId)
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        const known = state === 'passed' || state === 'failed' ? state : 'skipped'
        report[known] += 1
        report.tests.push({ file, name: test.name, state: known })
      }
    }
    const file = process.env['GREENROOM_COUNTS']
    if (file !== undefined) writeFileSync(file, JSON.stringify(report))
  }
}
