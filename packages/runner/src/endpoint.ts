/**
 * An endpoint that a resident worker hosts: a bus of its own, with the runner's mailbox on it.
 *
 * - *E1* It is connected when it is needed first, and stays so.
 * - *E2* One that is not reached for half of `partitionGraceMs` has lost its worker, as far as anybody here can know; what is
 *   left of the grace is for what the worker had stored.
 * - *E3* There is one worker at a time: when another one is there, the last one is over.
 */
import { createHash } from 'node:crypto'
import { connectBus } from '@greenroom/bus'
import { residentRole, type Bus, type Peer, type PeerState, type PresenceChange, type Timer } from '@greenroom/proto'
import { attachWithin } from './attach-deadline.ts'
import type { Config } from './config.ts'
import type { Drive, DriveOptions } from './drive/index.ts'
import type { RemotePlacement } from './options.ts'

/** What endpoints are made of. */
export interface EndpointParts {
  readonly config: Pick<Config, 'clock' | 'random' | 'partitionGraceMs'>
  /** Attaches the runner's mailbox to a bus. */
  readonly openDrive: (
    options: Pick<DriveOptions, 'bus' | 'onState' | 'signal'> & {
      /** Whose token the runner shows there; undefined of a plain one. */
      readonly subject: string | undefined
      /** Tells its mailbox from those at other URLs, which may lead to the same endpoint. */
      readonly site: string
    },
  ) => Promise<Drive>
}

/** What to look at when it is not reached. */
const hint = 'does a worker run there (greenroom worker), and are its address and ca right?'

const siteOf = (url: string): string => createHash('sha256').update(url).digest('hex').slice(0, 12)

/** See E1 to E3. */
export class Endpoint implements Pick<Peer, 'watch'> {
  readonly drive: Drive
  readonly #bus: Bus
  /** Who is there, by incarnation. */
  readonly #members = new Map<string, PresenceChange>()
  readonly #listeners = new Set<(change: PresenceChange) => void>()
  #unwatch: () => void

  private constructor(bus: Bus, drive: Drive) {
    this.#bus = bus
    this.drive = drive
    this.#unwatch = this.#look()
  }

  /**
   * Connects to one.
   *
   * @param parts - see {@link EndpointParts}
   * @param target - where, and as whom
   * @param withinMs - how long that may take
   * @param onState - learns that the connection was lost, found again or closed
   * @param over - aborts when nobody wants it any more
   * @throws GreenroomError `CONNECT_FAILED`, `UNAUTHORIZED`, what attaching rejects with
   */
  static async open(
    { config, openDrive }: EndpointParts,
    { remote, token, ca, insecure = false }: RemotePlacement,
    withinMs: number,
    onState: (state: PeerState) => void = () => undefined,
    over?: AbortSignal,
  ): Promise<Endpoint> {
    const { clock, random, partitionGraceMs } = config
    const options = { url: remote, token, insecure, agent: 'greenroom-runner', background: true, clock, random }
    const bus = connectBus({ ...options, ...(ca === undefined ? {} : { ca }) })
    let endpoint: Endpoint | undefined
    let missing: Timer | undefined
    const follow = (state: PeerState): void => {
      missing?.cancel()
      const onMissing = (): void => endpoint?.missing()
      if (state === 'lost') missing = clock.timer(partitionGraceMs / 2, onMissing, { background: true })
      onState(state)
    }
    try {
      const attach = async (signal: AbortSignal): Promise<Drive> =>
        openDrive({ subject: await bus.subject(), site: siteOf(remote), bus, onState: follow, signal })
      const drive = await attachWithin(clock, withinMs, hint, attach, over)
      endpoint = new Endpoint(bus, drive)
      return endpoint
    } catch (error) {
      await bus.close()
      throw error
    }
  }

  /** Who is there. */
  get members(): readonly PresenceChange[] {
    return [...this.#members.values()]
  }

  /** Follows who is there, as `Peer.watch` does; there is one role. */
  watch(_role: string, listener: (change: PresenceChange) => void): () => void {
    this.#listeners.add(listener)
    for (const member of this.#members.values()) listener(member)
    return () => this.#listeners.delete(listener)
  }

  /** Disconnects from it, whether it was left in order or not. */
  close(): Promise<void> {
    this.#listeners.clear()
    return this.#bus.close()
  }

  #look(): () => void {
    return this.drive.peer.watch(residentRole, (change) => this.#seen(change))
  }

  /** E2: nobody is there any more; whoever is all the same when it is reached again is news then. */
  missing(): void {
    this.#loseAll()
    this.#unwatch()
    this.#unwatch = this.#look()
  }

  #loseAll(): void {
    for (const member of this.#members.values()) this.#seen({ ...member, state: 'gone' })
  }

  #seen(change: PresenceChange): void {
    const { incarnation, state } = change
    // E3
    if (state === 'attached' && !this.#members.has(incarnation)) this.#loseAll()
    if (state === 'gone') this.#members.delete(incarnation)
    else this.#members.set(incarnation, change)
    for (const listener of this.#listeners) listener(change)
  }
}
