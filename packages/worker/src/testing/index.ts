/**
 * For whoever writes executors: the suite that each of them passes. And workers without processes, for whoever tests
 * with a runner: `greenroom/testing` is made of them.
 *
 * @packageDocumentation
 */
export {
  executorConformance,
  type ConformanceCase,
  type ConformanceOptions,
  type Sample,
} from './executor-conformance.ts'
export {
  createInProcessLauncher,
  type InProcessLaunched,
  type InProcessLauncher,
  type InProcessOptions,
} from './in-process-launcher.ts'
export type { InProcessBus, InProcessExit, InProcessSpec, InProcessWorker } from './in-process-worker.ts'
export { ProcessClock } from './process-clock.ts'
