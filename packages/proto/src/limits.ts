/** Sizes and times that both sides of the wire hold each other to. */

/** The wire's name and versions. */
export const wire = {
  /** The WebSocket sub-protocol: the wire's name and major version. */
  protocol: 'greenroom.1',
  /** The wire version that this package speaks. */
  version: 1,
  /** The oldest wire version that this package still understands. */
  oldestVersion: 1,
} as const

/** Limits; each is checked where the bytes come in. */
export const limits = {
  /** A whole frame: prefix, header and payload, in bytes. */
  frameBytes: 16 * 1024 * 1024,
  /** The header of a frame, in bytes. */
  headerBytes: 16 * 1024,
  /** The payload of one message, in bytes; a longer history travels in parts. */
  payloadBytes: 8 * 1024 * 1024,
  /** The largest history part, in bytes. */
  historyPartBytes: 1024 * 1024,
  /** The provisioning document on a worker's stdin, in bytes. */
  provisionBytes: 8 * 1024 * 1024,
  /** How many events one `events` message may hold. */
  eventsPerMessage: 256,
  /** How many ids an attach may say it still holds. */
  heldIds: 4096,
  /** A client must say hello within this time, in milliseconds. */
  helloMs: 10_000,
  /** The broker pings this often, in milliseconds; two silent pings make a connection suspect. */
  pingMs: 10_000,
  /** How long a lost incarnation may come back before it is gone, in milliseconds. */
  partitionGraceMs: 30_000,
  /** How long ids and revocations are remembered, in milliseconds; clients stop re-sending after half of it. */
  dedupeWindowMs: 86_400_000,
  /** The shortest visibility timeout, in milliseconds: a second is what an event loop or a network may stand still. */
  shortestVisibilityMs: 1_000,
  /** The longest visibility timeout, in milliseconds. */
  longestVisibilityMs: 43_200_000,
  /** How many calls over the bridge a run may have under way. */
  bridgeCalls: 64,
  /** A nested child may be this deep; the root session has depth 0. */
  depth: 4,
} as const
