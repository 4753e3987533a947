/**
 * `@greenroom/runner/placement`: where a role runs.
 *
 * @packageDocumentation
 */
export { createLocalPlacement } from './local.ts'
export type { LocalPlacementOptions } from './local-options.ts'
export type { LogPart, WorkerLog } from './worker-log.ts'
export type { TokenIssuer } from './worker-token.ts'
export type { LeftWorker, PlacedWorker, Placement, WorkerEnd, WorkerNeed } from './placement.ts'
