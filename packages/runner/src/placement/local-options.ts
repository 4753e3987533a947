/** What local placement is made of. */
import type { BusAddress, Clock, Peer, Random } from '@greenroom/proto'
import type { Launcher, Logger } from '../launcher.ts'
import type { TokenIssuer } from './worker-token.ts'

/** How long a worker that was told to leave may take, in milliseconds. */
export const retireMs = 5_000

/** What local placement needs. */
export interface LocalPlacementOptions {
  /** Starts the processes. */
  readonly launcher: Launcher
  /** The runner's mailbox: sees workers attach, declares them gone. */
  readonly peer: Peer
  /** Where workers find the bus. */
  readonly bus: BusAddress
  /** Has a token of its own made for each worker; undefined: each gets that of `bus`. */
  readonly issue: TokenIssuer | undefined
  /** How the names of its workers' mailboxes begin. */
  readonly workerNames: string
  /** A presence role that only this runner's workers have. */
  readonly presenceRole: string
  /** The environment for a worker that may have these variables too. */
  readonly environment: (also: readonly string[]) => Readonly<Record<string, string>>
  /** How long a worker's executor may take to end after a cancel, in milliseconds. */
  readonly cancelGraceMs: number
  /** How long a worker may be lost to the bus before it leaves by itself, in milliseconds. */
  readonly partitionGraceMs: number
  /** This machine's name. */
  readonly host: string
  /** The file that the detached worker with this address writes to; its folder is there. */
  readonly outputOf: (address: string) => string
  /** Measures the waiting for processes to end. */
  readonly clock: Clock
  /** Names workers and their lives. */
  readonly random: Random
  /** Gets what workers write. */
  readonly logger: Logger
}
