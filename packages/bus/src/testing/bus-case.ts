/** What a contract case is, and what it runs against. */
import type { Bus, BusCapability, Operator } from '@greenroom/proto'

/** What a harness can do besides handing out clients. */
export type BusControl = 'cut' | 'restart' | 'advance' | 'operator' | 'settings'

/** What a contract case runs against: a fresh broker for every case. */
export interface BusHarness {
  /** A client of the broker: another one at each call where the implementation has clients. The harness closes them. */
  bus(): Promise<Bus>
  /** Loses the connection of the peer at this address, and lets it come back by itself. Resolves when it is lost. */
  cut?(address: string): Promise<void>
  /** Stops the broker and starts it again on the same data. */
  restart?(): Promise<void>
  /** Moves the broker's clock on, for a harness that owns it. */
  advance?(ms: number): Promise<void>
  /** What people may do at the broker. */
  operator?(): Promise<Operator>
}

/** What a case needs its broker to be told: options of `createBroker` and `createMemoryBus`, under the same names. */
export interface BusSettings {
  /** How long ids, claims and revocations are remembered, in milliseconds. */
  readonly dedupeWindowMs?: number
  /** How long a mailbox may be unused, in milliseconds. */
  readonly mailboxTtlMs?: number
  /** How often a message may come back before it is a dead letter. */
  readonly maxAttempts?: number
  /** What may wait. */
  readonly limits?: {
    /** Messages in a mailbox. */
    readonly mailboxMessages?: number
    /** Payload bytes in a mailbox. */
    readonly mailboxBytes?: number
    /** Messages in all mailboxes. */
    readonly totalMessages?: number
    /** Payload bytes in all mailboxes. */
    readonly totalBytes?: number
  }
}

/** One promise of the port. */
export interface BusCase {
  /** The promise, for the name of a test. */
  readonly name: string
  /** Capabilities of the bus that it needs beyond the core. */
  readonly needs?: readonly BusCapability[]
  /** Controls of the harness that it needs. */
  readonly controls?: readonly BusControl[]
  /** What the broker is told, for a harness with the control `settings`. */
  readonly settings?: BusSettings
  /** Throws (`node:assert`) when the promise is broken. It may wait for ever when it is: give it a time limit. */
  readonly run: (harness: BusHarness) => Promise<void>
}
