/** The provisioning document: the one thing a worker process is told, as JSON on its standard input, then the end. */
import type { Limits } from './message.ts'

/** Where a worker finds its bus. */
export interface BusAddress {
  /** `ws://`, `wss://`, or `ws+unix://` and the path of a socket. */
  readonly url: string
  /** The bearer token shown at the upgrade. */
  readonly token: string
  /** PEM of the certificate authority to trust instead of the public ones. */
  readonly ca?: string
  /** Use `ws://` although the broker is on another machine: the token and all else travel in the clear. = false */
  readonly insecure?: boolean
}

/** What a resident worker shows of itself. */
export interface Resident {
  /** What a placement may choose it by. = none */
  readonly labels?: Readonly<Record<string, string>>
  /** The machine it runs on, for people. */
  readonly host?: string
}

/** What a spawner tells a fresh worker. */
export interface Provision {
  /** Version of this document: 1. */
  readonly version: number
  /** Capabilities the worker must know, by name: else it exits with `SPEC_TOO_NEW`. */
  readonly required?: readonly string[]
  /** Where to attach. */
  readonly bus: BusAddress
  /** The worker's mailbox: it attaches as this. */
  readonly address: string
  /** Which life of the mailbox: it attaches as this. */
  readonly incarnation: string
  /** The presence role under which it shows itself. */
  readonly role: string
  /** The executors that it will be asked for; each must exist. */
  readonly executors: readonly string[]
  /** Values of the secrets that those executors declare. */
  readonly secrets?: Readonly<Record<string, string>>
  /** How many runs it takes at a time. = 1 */
  readonly slots?: number
  /** Bounds for runs that bring none of their own. */
  readonly limits?: Limits
  /** How long an executor may take after its signal aborted, in milliseconds. = 5,000 */
  readonly cancelGraceMs?: number
  /** How long a connection may be lost, in milliseconds. = 30,000 */
  readonly partitionGraceMs?: number
  /** Without a run for this long it leaves, in milliseconds; null: never. = 300,000 */
  readonly idleMs?: number | null
  /** How long an unacknowledged terminal is kept, in milliseconds. = 30,000 */
  readonly lingerMs?: number
  /** It has no owner that it ends with: it takes one run and leaves when that run's terminal is stored. = false */
  readonly detached?: boolean
  /**
   * It belongs to no runner: it serves all executors of its file for any runner (`executors` is empty), has no secrets but
   * its own, keeps its connection in a thread, and gives up the runs of a runner that is gone. = undefined
   */
  readonly resident?: Resident
}
