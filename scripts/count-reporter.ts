/**
 * A vitest reporter that writes the run's counts as JSON to the file named by `GREENROOM_COUNTS`: vitest's own
 * output has no line that a program can rely on.
 */
import { writeFileSync } from 'node:fs'
import type { Reporter, TestModule } from 'vitest/node'

/** How many tests passed, failed and were skipped. */
export interface Counts {
  passed: number
  failed: number
  skipped: number
}

/** Counts tests; a file that failed to load and an error outside of a test are one failure each. */
export default class CountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly unknown[]): void {
    const counts: Counts = { passed: 0, failed: unhandled.length, skipped: 0 }
    for (const module of modules) {
      counts.failed += module.errors().length
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        if (state === 'passed' || state === 'failed') counts[state] += 1
        else counts.skipped += 1
      }
    }
    const file = process.env['GREENROOM_COUNTS']
    if (file !== undefined) writeFileSync(file, JSON.stringify(counts))
  }
}
