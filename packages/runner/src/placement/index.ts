/**
 * `@greenroom/runner/placement`: where a role runs.
 *
 * @packageDocumentation
 */
export { Capture } from './capture.ts'
export { heldByAncestors, type Full, type Outlook } from './full.ts'
export { createLocalPlacement } from './local.ts'
export type { LocalPlacementOptions } from './local-options.ts'
export type { LogPart, WorkerLog } from './worker-log.ts'
export type { LeftWorker, PlacedWorker, PlaceKind, Placement, WorkerEnd, WorkerNeed } from './placement.ts'
export type { TokenIssuer } from './worker-token.ts'
export { Residents, type Lack, type ResidentLease, type ResidentNeed, type ResidentsOptions } from './residents.ts'
export type { ResidentParts, ResidentWorker } from './resident.ts'
export { privateSocket, type PrivateSocket, type SocketName } from '../platform/private-socket.ts'
export { FabricFolder, type FabricContent } from '../platform/fabric-folder.ts'
