/**
 * For whoever tests an agent product: the runner's own API with the real worker loop in this process, over a bus in memory.
 * No processes, no test runner, no waiting.
 *
 * - `createTestRunner` a runner for a test · `scripted` executors out of a script · `createGate` where a script waits
 * - `createManualClock` time that stands still until it is told to go on
 *
 * @example
 * ```ts
 * import assert from 'node:assert/strict'
 * import { createManualClock, createTestRunner, scripted } from 'greenroom/testing'
 *
 * const clock = createManualClock()
 * await using runner = await createTestRunner({
 *   executors: { review: scripted([{ say: 'Looks good.' }, { wait: 1_000 }, { return: { approved: true } }]) },
 *   clock,
 * })
 * runner.faults.drop('events')
 * const run = runner.run({ role: 'review', task: 'Review the change', session: 'pr-7' })
 * await clock.advance(10_000)
 * const end = await run.outcome
 * assert.deepEqual(end.status === 'completed' && end.output, { approved: true })
 * assert.equal((await runner.sessions.messages('pr-7')).length, 2)
 * ```
 *
 * @packageDocumentation
 */
export { createManualClock, type ManualClock, type PendingTimer } from '@greenroom/bus/testing'
export type { InProcessWorker } from '@greenroom/worker/testing'
export type { FaultOptions, Faults, LiveKind, Moment } from './faults.ts'
export { createGate, type Gate } from './gate.ts'
export { scripted, type Script, type ScriptOptions, type Step } from './scripted.ts'
export { createTestRunner, type RolePerExecutor, type TestRunner, type TestRunnerOptions } from './test-runner.ts'
