/**
 * `@greenroom/runner/placement`: where a role runs.
 *
 * @packageDocumentation
 */
export { createLocalPlacement, type LocalPlacementOptions } from './local.ts'
export type { LogPart, WorkerLog } from './worker-log.ts'
export type { PlacedWorker, Placement, WorkerEnd, WorkerNeed } from './placement.ts'
