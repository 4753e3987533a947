/**
 * The words that all of Greenroom speaks: frames, messages, codec, error codes and ports. Pure: no input or output, no
 * Node types, runs in a browser.
 *
 * - `frame` bytes ↔ header and payload · `header` bus frames · `handshake` versions and capabilities
 * - `message` the run protocol · `event` what a run tells · `outcome` how it ends · `provision` what a worker is told
 * - `parse` the door where `unknown` becomes typed · `error` the one error class and its table · `limits` sizes and times
 * - `bus` the bus port · `operator` its operators' side · `children` child runs · `ask` asking them · `bridge` tools beside the runner · `presence` who is there
 * - `grant` what a token allows · `fabric-record` how a worker is found on one machine
 * - `usage` what was used, against its limits · `budget` what a tree may use
 * - `clock` time and chance as values · `stopwatch` time in which this process ran · `age` time for others · `semaphore` so many at once
 * - `check` what no bus takes · `names` what options are called
 * - `json` what JSON can say, and where a value is something else · `canonical-json` for digests · `same-shape` for edits
 *
 * The protocol in prose is `PROTOCOL.md` in this package; golden vectors are in `vectors/`.
 *
 * @packageDocumentation
 */
export { readAsk, withinDeadline, type Asked } from './ask.ts'
export type * from './bridge.ts'
export type * from './bus.ts'
export { budgetFlaw, budgetNames, type Budget } from './budget.ts'
export { checkNames, checkPayload, checkVisibility } from './check.ts'
export * from './children.ts'
export { idFromBytes, type Clock, type Random, type Timer } from './clock.ts'
export * from './error.ts'
export * from './event.ts'
export {
  clientGrants,
  isGranted,
  maySend,
  narrowed,
  runnerGrants,
  residentGrants,
  ownNames,
  poolRole,
  workerGrants,
  type Grants,
  type IssuedToken,
  type NameKind,
  type SendGrant,
  type TokenClaims,
  type TokenRequest,
} from './grant.ts'
export { fabricLease, fabricVersion, type FabricRecord } from './fabric-record.ts'
export { decodeFrame, decodePayload, encodeFrame, encodePayload, noPayload, type RawFrame } from './frame.ts'
export { agree, confirm, type Agreement, type Offer } from './handshake.ts'
export type * from './header.ts'
export { canonicalJson } from './canonical-json.ts'
export { hasShapeOf } from './same-shape.ts'
export { isJson, jsonFlaw, placeOf, type JsonObject, type JsonValue } from './json.ts'
export { limits, wire } from './limits.ts'
export * from './message.ts'
export { isId, isName } from './name.ts'
export type * from './operator.ts'
export { Outbox, type OutboxSink } from './outbox.ts'
export type * from './outcome.ts'
export {
  decodeMessage,
  encodeMessage,
  isRunKind,
  knownEvents,
  parseBrokerHeader,
  parseClientHeader,
  parseDeadLetter,
  parseEvent,
  parseFabricRecord,
  parseMailboxState,
  parseMessage,
  parseOutcome,
  parseProvision,
  parseTokenClaims,
  provisionVersion,
  runCapabilities,
} from './parse.ts'
export { systemClock, systemRandom } from './platform/system.ts'
export {
  residentRole,
  type LateBound,
  type Presence,
  type PresenceChange,
  type PresenceState,
  type ServedExecutor,
} from './presence.ts'
export type { BusAddress, Provision, Resident } from './provision.ts'
export { ageOf, momentOf, type Moment } from './age.ts'
export { Stopwatch } from './stopwatch.ts'
export { namesFlaw } from './names.ts'
export { Semaphore } from './semaphore.ts'
export { addUsage, exceededLimit, greaterUsage, usageNames } from './usage.ts'
