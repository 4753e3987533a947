/** Who is there, and in what state. */

/** What may differ from run to run without a fresh worker. */
export type LateBound = 'workspace' | 'model' | 'tools'

/** What a worker tells of an executor that it serves. */
export interface ServedExecutor {
  /** The name under which roles ask for it. */
  readonly name: string
  /** Workers of different versions are never exchanged for each other. */
  readonly version: string
  /** What may differ between runs in one warm worker. = nothing */
  readonly lateBound?: readonly LateBound[]
  /** Whether a run may be repeated after its worker was lost. = false */
  readonly idempotent?: boolean
  /** Whether an attempt may be ended while it waits for children. = false */
  readonly suspendable?: boolean
}

/** The presence role of a worker that hosts its own endpoint: there is no other at that one. */
export const residentRole = 'resident'

/** What a peer tells about itself. */
export interface Presence {
  /** What it serves; watchers subscribe to a role. */
  readonly role: string
  /** What a placement may choose by. */
  readonly labels?: Readonly<Record<string, string>>
  /** The machine it runs on, for people. */
  readonly host?: string
  /** Its software's version. */
  readonly version?: string
  /** How many runs it could take now. */
  readonly slots?: number
  /** How busy it is: 0 idle, 1 full. */
  readonly load?: number
  /** The executors that it serves. */
  readonly serves?: readonly ServedExecutor[]
}

/**
 * - `attached`: connected and answering.
 * - `suspect`: its connection was lost or two pings went unanswered; it may come back.
 * - `gone`: it left, its spawner saw it end, its grace is over, or it was fenced. Final for this incarnation.
 */
export type PresenceState = 'attached' | 'suspect' | 'gone'

/** One peer as its watchers see it. */
export interface PresenceChange {
  /** Its mailbox. */
  readonly address: string
  /** Which life of its owner. */
  readonly incarnation: string
  /** How it stands now. */
  readonly state: PresenceState
  /** What it last told about itself. */
  readonly presence: Presence
  /** It is gone, and whoever declared it so had seen its process end: it cannot do anything any more. = false */
  readonly seenDead?: boolean
}
