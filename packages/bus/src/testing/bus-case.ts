/** What a contract case is, and what it runs against. */
import type { Bus, BusCapability } from '@greenroom/proto'

/** What a harness can do besides handing out clients. */
export type BusControl = 'cut' | 'restart' | 'advance'

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
}

/** One promise of the port. */
export interface BusCase {
  /** The promise, for the name of a test. */
  readonly name: string
  /** Capabilities of the bus that it needs beyond the core. */
  readonly needs?: readonly BusCapability[]
  /** Controls of the harness that it needs. */
  readonly controls?: readonly BusControl[]
  /** Throws (`node:assert`) when the promise is broken. It may wait for ever when it is: give it a time limit. */
  readonly run: (harness: BusHarness) => Promise<void>
}
