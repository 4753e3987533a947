/**
 * For whoever writes executors: the suite that each of them passes.
 *
 * @packageDocumentation
 */
export {
  executorConformance,
  type ConformanceCase,
  type ConformanceOptions,
  type Sample,
} from './executor-conformance.ts'
