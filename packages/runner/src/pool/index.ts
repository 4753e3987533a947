/**
 * `@greenroom/runner/pool`: workers that stay warm between runs.
 *
 * - `pool` what one is · `worker-pool` who gets which worker, and how long they stay · `fingerprint` what may share one · `miss` why one was not warm
 * - `spawn-gate` how soon one that does not come up is started again · `reserves` those that are kept ready
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
  type PoolOptions,
  type PoolStats,
  type Release,
} from './pool.ts'
export type { PoolNeed, PoolWorker, PoolWorkerEnd } from './worker.ts'
