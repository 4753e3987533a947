/** The drive: owns the runner's mailbox and leads what arrives there to the attempts in progress. */
import {
  decodePayload,
  GreenroomError,
  parseMessage,
  type ApprovalRequest,
  type Bus,
  type Clock,
  type Delivery,
  type Events,
  type LiveMessage,
  type Peer,
  type PeerEnd,
  type PeerState,
  type RunRef,
} from '@greenroom/proto'
import { residentMb } from '../platform/memory.ts'
import { whenDrained } from '../platform/turn.ts'
import { Attempt } from './attempt.ts'
import type { AttemptOptions } from './attempt-options.ts'
import type { LimiterSeams } from './limiter.ts'
import { keyOf, LiveRegistry } from './live-registry.ts'
import { laneOf } from './markers.ts'
import { Orphan, type KeptTerminal, type OrphanOptions } from './orphan.ts'
import type { UntrippedEnd } from './attempt-end.ts'
import { acknowledge } from './worker-reports.ts'

/** What a drive is made of. */
export interface DriveOptions extends Partial<Omit<LimiterSeams, 'clock'>> {
  /** What carries the messages. */
  readonly bus: Bus
  /** The runner's mailbox: named, so that it outlives this process. */
  readonly address: string
  /** This life of the runner. */
  readonly incarnation: string
  /** Measures every deadline of an attempt. */
  readonly clock: Clock
  /** Stops waiting for the bus. */
  readonly signal?: AbortSignal
  /** Learns that the connection was lost, found again or closed. */
  readonly onState?: (state: PeerState) => void
  /** Learns what could not be read. */
  readonly onError: (error: unknown) => void
  /** Takes the terminal of an attempt that nobody follows, if it is wanted later: it is acknowledged when that is done. */
  readonly onStrayTerminal?: (ref: RunRef, delivery: Delivery) => Promise<void> | undefined
  /** The same for the stored entries of a detached one. */
  readonly onStrayEvents?: (events: Events, delivery: Delivery) => (() => Promise<void>) | undefined
  /**
   * Takes what a worker asks, whether somebody follows its attempt or not: it is acknowledged when that is done; undefined
   * when nobody wants it. `via` is the address of this mailbox: the worker hears of no other.
   */
  readonly onApproval?: (request: ApprovalRequest, delivery: Delivery, via: string) => Promise<void> | undefined
}

/** Drives attempts over the bus. */
export interface Drive {
  /** The runner's mailbox. */
  readonly peer: Peer
  /** Messages that belonged to no attempt in progress, and answers that nobody waited for any more. */
  readonly strayMessages: number
  /** Hands an assignment to a worker and follows it to its end. */
  start(options: AttemptOptions): Attempt
  /** Resolves when nothing of an attempt that nobody follows is being stored: what is stored then is all that came. */
  quiet(ref: RunRef): Promise<void>
  /** Its terminal, when that came before anybody followed it and is not stored yet. */
  kept(ref: RunRef): KeptTerminal | undefined
  /**
   * Finds out what became of an attempt that an earlier life of the runner left without an end.
   *
   * @throws GreenroomError `ABORTED`; what the bus rejects with
   */
  settle(options: OrphanOptions): Promise<UntrippedEnd>
  /** Resolves when the mailbox is closed for good; attempts in progress have then failed. */
  readonly closed: Promise<PeerEnd>
  /** Leaves the bus. */
  drain(): Promise<void>
}

function isRef(value: unknown): value is RunRef {
  return (
    typeof value === 'object' &&
    value !== null &&
    'runId' in value &&
    typeof value.runId === 'string' &&
    'epoch' in value &&
    typeof value.epoch === 'number'
  )
}

/** Leads what arrives in the runner's mailbox to the attempts in progress. */
class Dispatch {
  readonly live = new LiveRegistry()
  /** By {@link keyOf}. */
  readonly orphans = new Map<string, Orphan>()
  /** Terminals whose keeping is under way, or failed. */
  readonly keeping = new Map<string, KeptTerminal>()
  /** Entries of detached attempts that are being stored, by attempt: the last of them. */
  readonly #storing = new Map<string, Promise<void>>()
  readonly #onStrayTerminal: NonNullable<DriveOptions['onStrayTerminal']>
  readonly #onStrayEvents: NonNullable<DriveOptions['onStrayEvents']>
  readonly #onApproval: NonNullable<DriveOptions['onApproval']>
  readonly #address: string
  readonly #onError: (error: unknown) => void
  #strays = 0

  constructor({
    address,
    onError,
    onStrayTerminal = () => undefined,
    onStrayEvents = () => undefined,
    onApproval = () => undefined,
  }: Pick<DriveOptions, 'address' | 'onError' | 'onStrayTerminal' | 'onStrayEvents' | 'onApproval'>) {
    this.#onApproval = onApproval
    this.#onStrayTerminal = onStrayTerminal
    this.#onStrayEvents = onStrayEvents
    this.#address = address
    this.#onError = onError
  }

  /** See {@link Drive.strayMessages}. */
  get strays(): number {
    return this.#strays
  }

  /** See {@link Drive.quiet}. */
  async quiet(ref: RunRef): Promise<void> {
    const key = keyOf(ref)
    for (let done = this.#storing.get(key); done !== undefined; done = this.#storing.get(key)) await done
  }

  readonly onMessage = (delivery: Delivery): void => {
    if (delivery.kind === 'approval-request' && this.#ask(delivery)) return
    const hand = (attempt: Attempt, content: unknown): void => {
      if (!attempt.durable(delivery, content)) this.#strays += 1
    }
    if (this.#lead(delivery, hand)) return
    if (delivery.kind === 'terminal' && this.#keep(delivery)) return
    if (delivery.kind === 'events' && this.#store(delivery)) return
    // What nobody waits for, and what cannot be read, must not fill the mailbox.
    acknowledge(delivery)
  }

  /** A terminal of an attempt that an earlier life left: whether somebody wants it. */
  #keep(delivery: Delivery): boolean {
    try {
      const content = decodePayload(delivery.payload)
      if (!isRef(content)) return false
      const orphan = this.orphans.get(keyOf(content))
      if (orphan?.owns(delivery) === true) {
        orphan.durable(delivery, content)
        return true
      }
      const kept = this.#onStrayTerminal(content, delivery)
      if (kept === undefined) return false
      const { from, fromIncarnation = '' } = delivery
      const release = (): void => {
        this.keeping.delete(keyOf(content))
        acknowledge(delivery)
      }
      const terminal = parseMessage('terminal', content)
      this.keeping.set(keyOf(content), { from, fromIncarnation, terminal, acknowledge: release })
      // One that could not be kept stays on the bus, and here until somebody wants it.
      kept.then(release, this.#onError)
      return true
    } catch (error) {
      this.#onError(error)
      return false
    }
  }

  /** What a worker asks: whether somebody wants it. */
  #ask(delivery: Delivery): boolean {
    try {
      const request = parseMessage('approval-request', decodePayload(delivery.payload))
      const taken = this.#onApproval(request, delivery, this.#address)
      // What could not be recorded stays on the bus, for the next life.
      taken?.then(() => acknowledge(delivery), this.#onError)
      return taken !== undefined
    } catch (error) {
      this.#onError(error)
      return false
    }
  }

  /** Stored entries of a detached attempt that an earlier life left: whether they are wanted. */
  #store(delivery: Delivery): boolean {
    try {
      const events = parseMessage('events', decodePayload(delivery.payload))
      const store = this.#onStrayEvents(events, delivery)
      if (store === undefined) return false
      const key = keyOf(events)
      // One after the other: what is there has no gaps. What could not be stored stays on the bus, for the next life.
      const done = (this.#storing.get(key) ?? Promise.resolve())
        .then(store)
        .then(() => acknowledge(delivery), this.#onError)
        .finally(() => {
          if (this.#storing.get(key) === done) this.#storing.delete(key)
        })
      this.#storing.set(key, done)
      return true
    } catch (error) {
      this.#onError(error)
      return false
    }
  }

  readonly onLive = (message: LiveMessage): void => {
    this.#lead(message, (attempt, content) => attempt.live(message.kind, content))
  }

  /** Decodes a message, once, and hands it to the attempt that it belongs to. Returns whether it was taken. */
  #lead(message: LiveMessage, hand: (attempt: Attempt, content: unknown) => void): boolean {
    try {
      const content = decodePayload(message.payload)
      const attempt = isRef(content) ? this.live.find(content, message) : undefined
      if (attempt !== undefined) hand(attempt, content)
      else if (isRef(content) && message.kind === 'marker' && message.from === this.#address)
        (this.live.named(content) ?? this.orphans.get(keyOf(content)))?.marked(laneOf(content))
      else this.#strays += 1
      return attempt !== undefined
    } catch (error) {
      this.#onError(error)
      return false
    }
  }
}

/**
 * Attaches the runner's mailbox.
 *
 * @param options - see {@link DriveOptions}
 * @throws GreenroomError as `Bus.attach`
 */
export async function createDrive(options: DriveOptions): Promise<Drive> {
  const dispatch = new Dispatch(options)
  const { live } = dispatch
  const peer = await options.bus.attach({
    address: options.address,
    incarnation: options.incarnation,
    lifetime: 'named',
    // A resident worker gives up what it has from a life that is gone.
    presence: { role: options.address },
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    onMessage: dispatch.onMessage,
    onLive: dispatch.onLive,
    onState: (state) => {
      options.onState?.(state)
      for (const attempt of live) {
        if (state === 'attached') attempt.attached()
        else attempt.detached()
      }
    },
    onError: options.onError,
  })
  let settlings = 0
  const closed = peer.closed.then((end) => {
    for (const attempt of live) attempt.break(new GreenroomError(end.code, end.message))
    return end
  })
  return {
    peer,
    closed,
    get strayMessages() {
      return dispatch.strays
    },
    start(attemptOptions) {
      const attempt = new Attempt(peer, { residentMb, whenDrained, ...options }, attemptOptions)
      const entry = live.register(attempt)
      void attempt.ended.then(() => entry[Symbol.dispose]())
      return attempt
    },
    quiet: (ref) => dispatch.quiet(ref),
    kept: (ref) => dispatch.keeping.get(keyOf(ref)),
    async settle(orphanOptions) {
      const key = keyOf(orphanOptions.ref)
      const kept = (): KeptTerminal | undefined => dispatch.keeping.get(key) ?? orphanOptions.kept()
      settlings += 1
      const quiet = (): Promise<void> => dispatch.quiet(orphanOptions.ref)
      const orphan = new Orphan({ peer, clock: options.clock, id: settlings, quiet }, { ...orphanOptions, kept })
      dispatch.orphans.set(key, orphan)
      try {
        return await orphan.settle()
      } finally {
        dispatch.orphans.delete(key)
      }
    },
    drain: () => peer.drain(),
  }
}
