/**
 * `@greenroom/runner/pool`: workers that stay warm between runs.
 *
 * - `pool` who gets which worker, and how long they stay · `fingerprint` what may share one · `miss` why one was not warm
 * - `spawn-gate` how soon one that does not come up is started again
 *
 * @packageDocumentation
 */
export { explainReuse, type Fingerprint, type FingerprintDifference, type Fixed } from './fingerprint.ts'
export { describeMiss, type PoolMiss } from './miss.ts'
export {
  createPool,
  type EndReason,
  type Lease,
  type Pool,
  type PoolLimits,
  type PoolNeed,
  type PoolOptions,
  type PoolStats,
  type PoolWorker,
  type PoolWorkerEnd,
} from './pool.ts'
