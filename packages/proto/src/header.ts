/**
 * Bus frames: what a client and a broker say to each other.
 *
 * A frame is a header (one of the interfaces here, as JSON) and an opaque payload. `t` names the frame. A frame with
 * `req` is answered by exactly one frame with the same `req`: `ok` or `error`.
 *
 * Headers are read leniently: fields that are not known are kept out of the way, never an error.
 */
import type { ErrorCode } from './error.ts'
import type { Grants } from './grant.ts'
import type { Presence, PresenceChange } from './presence.ts'

/** How long a mailbox lives: as long as its one incarnation, or until it is deleted. */
export type Lifetime = 'incarnation' | 'named'

// ─── client → broker ─────────────────────────────────────────────────────────────────────────────────────────────

/** The first frame of a connection; answered by {@link Welcome}. */
export interface Hello {
  readonly t: 'hello'
  /** The newest wire version that the client speaks. */
  readonly wire: number
  /** The oldest wire version that the client speaks; `wire` when absent. */
  readonly oldest?: number
  /** What the client can do. */
  readonly capabilities: readonly string[]
  /** What the client cannot do without: refused by name (`MISSING_CAPABILITY`) when the broker does not offer it. */
  readonly required?: readonly string[]
  /** Software and version, for people. */
  readonly agent?: string
}

/** Binds the connection to a mailbox, as its one consumer, and makes that mailbox the sender of all it sends. */
export interface Attach {
  readonly t: 'attach'
  /** The number under which the answer comes back. */
  readonly req: number
  /** The mailbox. */
  readonly address: string
  /** Which life of its owner this is: fresh for every process. */
  readonly incarnation: string
  /** How long the mailbox lives. */
  readonly lifetime: Lifetime
  /** How many messages may be delivered before any is acked. */
  readonly credit: number
  /** The same for messages sent with `control`. */
  readonly controlCredit: number
  /**
   * The visibility timeout, in milliseconds: what is delivered and neither settled nor touched for so long returns to the
   * mailbox. By default nothing does.
   */
  readonly visibilityMs?: number
  /** The ids that this incarnation still holds from an earlier connection. */
  readonly held?: readonly string[]
  /** Which delivery of each of `held`, in its order: one that was given back since is not held any more. = the present ones */
  readonly attempts?: readonly number[]
  /** Whether this is a re-attach of a consumer that was attached before: it then never replaces a newer one. */
  readonly again?: boolean
  /** Shown to those who watch the role; a peer without presence is not listed. */
  readonly presence?: Presence
}

/** Puts the payload into a mailbox, durably. Answered when it is on disk. */
export interface Send {
  readonly t: 'send'
  /** The number under which the answer comes back. */
  readonly req: number
  /** The receiver's mailbox. */
  readonly to: string
  /** The message's id: the same id again is the same message. */
  readonly id: string
  /** What the payload is; see the run protocol. */
  readonly kind: string
  /** Counts against the control credit, not the data credit. */
  readonly control?: boolean
  /** After this many milliseconds an undelivered message is dropped. */
  readonly ttlMs?: number
}

/** Removes a delivered message. Without `req` it is not answered. */
export interface Ack {
  readonly t: 'ack'
  /** The number under which the answer comes back; without it there is none. */
  readonly req?: number
  /** The messages to remove; ids that are not held are ignored. */
  readonly ids: readonly string[]
  /** Which delivery of each of `ids`, in their order: one that was given back since is not removed. = the present ones */
  readonly attempts?: readonly number[]
}

/** Removes a delivered message if, and only if, it was not revoked: the right to start what it asks for. */
export interface Claim {
  readonly t: 'claim'
  /** The number under which the answer comes back. */
  readonly req: number
  /** The message to claim. */
  readonly id: string
  /** Which delivery of it: one that was given back since cannot be claimed. = the present one */
  readonly attempt?: number
}

/** Gives a delivered message back, to be delivered again after `delayMs`. */
export interface Nack {
  readonly t: 'nack'
  /** The number under which the answer comes back; without it there is none. */
  readonly req?: number
  /** The message to give back. */
  readonly id: string
  /** Which delivery of it: one that was given back before is not given back again. = the present one */
  readonly attempt?: number
  /** How long it waits, in milliseconds. = 0 */
  readonly delayMs?: number
}

/** Begins the visibility timeout of a held message anew, for consumers that opted into one: see {@link Attach.visibilityMs}. */
export interface Touch {
  readonly t: 'touch'
  /** The number under which the answer comes back; without it there is none. */
  readonly req?: number
  /** The message that is still worked on. */
  readonly id: string
  /** Which delivery of it: one that was given back since is not touched. = the present one */
  readonly attempt?: number
}

/** Takes a message back that was not claimed; answered with {@link Ok.revoked}. */
export interface Revoke {
  readonly t: 'revoke'
  /** The number under which the answer comes back. */
  readonly req: number
  /** The mailbox that it was sent to. */
  readonly to: string
  /** The message to take back. */
  readonly id: string
}

/** The payload for another mailbox's consumer, on the live lane: not stored, may be dropped, never answered. */
export interface Live {
  readonly t: 'live'
  /** The receiver's mailbox. */
  readonly to: string
  /** What the payload is; see the run protocol. */
  readonly kind: string
}

/** Replaces what the watchers see of this peer. */
export interface Announce {
  readonly t: 'announce'
  /** What they see from now on. */
  readonly presence: Presence
}

/** Subscribes to a role: a snapshot in the answer, then {@link PresenceFrame}s. */
export interface Watch {
  readonly t: 'watch'
  /** The number under which the answer comes back. */
  readonly req: number
  /** The role to follow. */
  readonly role: string
}

/** Ends a subscription. */
export interface Unwatch {
  readonly t: 'unwatch'
  /** The role not to follow any more. */
  readonly role: string
}

/** Declares an incarnation gone, by the one who saw it end: its mailbox closes, a late attach is `FENCED`. */
export interface Fence {
  readonly t: 'fence'
  /** The number under which the answer comes back. */
  readonly req: number
  /** Its mailbox. */
  readonly address: string
  /** Which life of the mailbox is gone. */
  readonly incarnation: string
  /** Its process was seen to end: its watchers are told. = false */
  readonly seenDead?: boolean
}

/** Leaves for good: this incarnation is gone. */
export interface Leave {
  readonly t: 'leave'
  /** The number under which the answer comes back. */
  readonly req: number
}

/** Deletes a mailbox that nobody has, with all that is in it: for operators. */
export interface Delete {
  readonly t: 'delete'
  /** The number under which the answer comes back. */
  readonly req: number
  /** The mailbox to delete. */
  readonly address: string
}

/** Lists mailboxes, works on dead letters, or makes a backup: for operators. */
export interface Admin {
  readonly t: 'admin'
  /** The number under which the answer comes back. */
  readonly req: number
  /** What to list, show or do. */
  readonly op: 'mailboxes' | 'dead-letters' | 'show' | 'requeue' | 'purge' | 'backup'
  /** The mailbox it is about; for lists: all. */
  readonly address?: string
  /** The message it is about, for `show`, `requeue` and `purge`; for `purge`: all of the mailbox. */
  readonly id?: string
  /** For `backup`: the file to write, absolute, on the broker's machine. */
  readonly path?: string
  /** For lists: goes on after this {@link Ok.next}. */
  readonly after?: string
}

/** Replaces the connection's token by a newer one. */
export interface Renew {
  readonly t: 'renew'
  /** The number under which the answer comes back. */
  readonly req: number
  /** The token that holds from now on. */
  readonly token: string
}

/** Asks for a token that allows no more than the connection's own. */
export interface Issue {
  readonly t: 'issue'
  /** The number under which the answer comes back. */
  readonly req: number
  /** Whose it will be. */
  readonly subject: string
  /** What it will allow. */
  readonly grants: Grants
  /** How long it should last, in milliseconds. = 600,000 */
  readonly forMs?: number
}

/** Asks for a {@link Pong}: browsers cannot send WebSocket pings. */
export interface Ping {
  readonly t: 'ping'
}

// ─── broker → client ─────────────────────────────────────────────────────────────────────────────────────────────

/** The answer to {@link Hello}. */
export interface Welcome {
  readonly t: 'welcome'
  /** The wire version to speak: the newest that both know. */
  readonly wire: number
  /** What the broker can do. */
  readonly capabilities: readonly string[]
  /** Changes whenever the broker starts: a client learns that it talks to a fresh one. */
  readonly broker: string
  /** How often the broker pings, in milliseconds. */
  readonly pingMs: number
  /** How long a lost incarnation may come back before it is gone, in milliseconds. */
  readonly partitionGraceMs: number
  /** How long ids, claims and revocations are remembered, in milliseconds. */
  readonly dedupeWindowMs: number
  /** Software and version, for people. */
  readonly agent?: string
}

/** The request succeeded. */
export interface Ok {
  readonly t: 'ok'
  /** The request that it answers. */
  readonly req: number
  /** To {@link Send}: the message's place in its mailbox. */
  readonly seq?: number
  /** To {@link Send}: the broker had this message already. */
  readonly duplicate?: boolean
  /** To {@link Revoke}. */
  readonly revoked?: Revocation
  /** To {@link Watch}: everyone of the role who is not gone. */
  readonly members?: readonly PresenceChange[]
  /** To {@link Admin}: the rows asked for. */
  readonly rows?: readonly unknown[]
  /** To {@link Admin}: there are more rows, after this. */
  readonly next?: string
  /** To {@link Issue}: the token. */
  readonly token?: string
  /** To {@link Issue}: when it ends, in milliseconds since the epoch. */
  readonly expiresAt?: number
}

/** The request failed; or, without `req`, why the broker is about to close the connection. */
export interface ErrorFrame {
  readonly t: 'error'
  /** The request that it answers; absent when the connection is about to be closed. */
  readonly req?: number
  /** One of the error table; a newer broker may know more. */
  readonly code: ErrorCode | (string & {})
  /** What happened, for people. */
  readonly message: string
}

/** A message out of the consumer's mailbox. */
export interface Deliver {
  readonly t: 'deliver'
  /** Its place in the mailbox: 1, 2, … */
  readonly seq: number
  /** Its id. */
  readonly id: string
  /** What the payload is. */
  readonly kind: string
  /** Whose connection sent it: set by the broker. */
  readonly from: string
  /** Which life of the sender: set by the broker. */
  readonly fromIncarnation?: string
  /** 1 for the first delivery; counts nacks and holders that became gone. */
  readonly attempt: number
  /** Whether it counts against the control credit. = false */
  readonly control?: boolean
  /** When it was stored, in milliseconds since the epoch. */
  readonly at: number
}

/** A message on the live lane. */
export interface LiveDeliver {
  readonly t: 'live'
  /** The mailbox whose consumer gets it. */
  readonly to: string
  /** What the payload is. */
  readonly kind: string
  /** Whose connection sent it: set by the broker. */
  readonly from: string
  /** Which life of the sender: set by the broker. */
  readonly fromIncarnation?: string
}

/** Somebody of a watched role changed. */
export interface PresenceFrame {
  readonly t: 'presence'
  /** Who, and how they stand now. */
  readonly change: PresenceChange
}

/** The answer to {@link Ping}. */
export interface Pong {
  readonly t: 'pong'
}

/** What became of a revoked message: taken back in time, claimed before, or never seen (and refused from now on). */
export type Revocation = 'withdrawn' | 'claimed' | 'unknown'

/** Everything a client may say. */
export type ClientHeader =
  | Hello
  | Attach
  | Send
  | Ack
  | Claim
  | Nack
  | Touch
  | Revoke
  | Live
  | Announce
  | Watch
  | Unwatch
  | Fence
  | Leave
  | Delete
  | Admin
  | Renew
  | Issue
  | Ping

/** Everything a broker may say. */
export type BrokerHeader = Welcome | Ok | ErrorFrame | Deliver | LiveDeliver | PresenceFrame | Pong
