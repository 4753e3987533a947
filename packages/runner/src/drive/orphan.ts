/**
 * An orphan: an attempt that an earlier life of the runner left without an end. Finds out what became of it.
 *
 * ```text
 * revoke ─┬─ withdrawn ─────────────► unclaimed: nothing ran
 *         └─ claimed (or forgotten) ► wait for its process' end ─► fence ─► what it stored ─┬─► its terminal
 *                                                                                          └─► lost
 * ```
 *
 * - *O1* Whatever its worker stored in the runner's mailbox was stored before it was fenced, so it is delivered before a
 *   message that the runner sends to itself after that, on the same lane: a detached one stored its entries, too.
 * - *O2* What the broker says proves that nothing ran only as long as it cannot have forgotten a claim, and only when
 *   nothing of the attempt is there: an entry, or its worker's last word, was told by somebody who had claimed.
 * - *O3* A last word that is at hand is believed, whatever else fails.
 * - *O4* Its worker is fenced also when the waiting ended before, as soon as the bus is there, in this life or a later one:
 *   nobody wants it to go on, and an assignment that nobody withdraws would stay in its mailbox.
 * - *O5* A resident worker has others' runs too, and is never fenced: it is asked to cancel, and its last word waited for.
 */
import {
  codeOf,
  limits,
  parseMessage,
  type Clock,
  type Delivery,
  type EventRange,
  type LiveMessage,
  type Peer,
  type RunRef,
  type Terminal,
} from '@greenroom/proto'
import { untilAbort } from '../abort.ts'
import { runMessageId } from './assignment.ts'
import type { UntrippedEnd } from './attempt-end.ts'
import { Markers, type Lane } from './markers.ts'
import { WorkerLine } from './worker-line.ts'

/** A worker of an earlier life. */
export interface OrphanWorker {
  /** Its mailbox. */
  readonly address: string
  /** Its life. */
  readonly incarnation: string
  /** Resolves when its process cannot do anything any more: with false when nobody knows. */
  readonly gone: () => Promise<boolean>
}

/** A terminal that came before anybody asked for it. */
export interface KeptTerminal {
  /** Whose it is. */
  readonly from: string
  /** Which life of it. */
  readonly fromIncarnation: string
  /** What it says. */
  readonly terminal: Terminal
  /** The bus may forget it; absent when it did. */
  readonly acknowledge?: () => void
}

/** What is known of an orphan. */
export interface OrphanOptions {
  /** Which attempt. */
  readonly ref: RunRef
  /** Who had it. */
  readonly worker: OrphanWorker
  /** When it was started, in milliseconds since the epoch. */
  readonly startedAt: number
  /** Whether it is a resident worker's (O5). = false */
  readonly isResident?: boolean
  /** Whether its entries are in the runner's mailbox, where they are not stored yet. */
  readonly isDetached: boolean
  /** The last of its events that is stored. */
  readonly lastSeq: () => number
  /** Its terminal, where it came before. */
  readonly kept: () => KeptTerminal | undefined
  /** Ends the waiting. */
  readonly signal: AbortSignal
  /** Aborts when its run was cancelled: whoever does that does not wait for a disk. */
  readonly cancelled: AbortSignal
}

/** What its drive adds. */
export interface OrphanSeams {
  /** The runner's mailbox. */
  readonly peer: Peer
  readonly clock: Clock
  /** Tells one settling of an attempt from another. */
  readonly id: number
  /** Resolves when the entries that came are stored, or cannot be. */
  readonly quiet: () => Promise<void>
}

/** See O1 to O5. */
export class Orphan {
  readonly ref: RunRef
  readonly #peer: Peer
  readonly #clock: Clock
  readonly #quiet: () => Promise<void>
  readonly #options: OrphanOptions
  readonly #markers: Markers
  readonly #told = Promise.withResolvers<void>()
  #held: Terminal | undefined
  #acknowledge: () => void = () => undefined

  constructor({ peer, clock, id, quiet }: OrphanSeams, options: OrphanOptions) {
    this.#peer = peer
    this.#clock = clock
    this.#quiet = quiet
    this.#options = options
    this.ref = options.ref
    this.#markers = new Markers(peer, clock, options.ref, `orphan-${id}`)
  }

  /** Whether a message with this sender is its worker's. */
  owns({ from, fromIncarnation }: Pick<LiveMessage, 'from' | 'fromIncarnation'>): boolean {
    const { worker } = this.#options
    return from === worker.address && fromIncarnation === worker.incarnation
  }

  /** Its worker's terminal. */
  durable(delivery: Delivery, content: unknown): void {
    this.#held ??= parseMessage('terminal', content)
    this.#told.resolve()
    this.#acknowledge = () => void delivery.ack().catch(() => undefined)
  }

  /** A message that the runner sent to itself came back (O1). */
  marked(lane: Lane): void {
    this.#markers.cameBack(lane)
  }

  /**
   * Finds out.
   *
   * @throws GreenroomError `ABORTED`; what the bus rejects with
   */
  async settle(): Promise<UntrippedEnd> {
    const { worker, signal, cancelled, isDetached, isResident = false } = this.#options
    const { address, incarnation } = worker
    try {
      const revoked = await this.#peer.revoke({ to: address, id: runMessageId(this.ref) }, { signal })
      if (revoked !== 'claimed' && !this.#mayHaveRun()) return { how: 'unclaimed', why: 'gone' }
      if (isResident) return await this.#askToStop()
      const isGone = await untilAbort(signal, worker.gone())
      await untilAbort(signal, this.#peer.fence({ address, incarnation }))
      await this.#markers.pass('control', signal)
      if (isDetached) await this.#markers.pass('data', signal)
      await untilAbort(AbortSignal.any([signal, cancelled]), this.#quiet()).catch(() => signal.throwIfAborted())
      const word = this.#word()
      return word === undefined ? { how: 'lost', mayStillRun: !isGone } : this.#ended(word)
    } catch (error) {
      // O4, O5
      if (!isResident) this.#peer.fence({ address, incarnation }).catch(() => undefined)
      const word = this.#word()
      if (word === undefined) throw error
      return this.#ended(word)
    }
  }

  /** O5 */
  async #askToStop(): Promise<UntrippedEnd> {
    const { worker, signal } = this.#options
    const { runId, epoch } = this.ref
    if (this.#word() === undefined) {
      const line = new WorkerLine(this.#peer, worker.address, this.#clock)
      // A mailbox that is closed has nobody who could say anything any more: what was stored before is on its way.
      const asked = line
        .cancel(`orphan-cancel-${runId}-${epoch}`, { ...this.ref, reason: 'its runner ended' })
        .catch((error: unknown) => {
          if (codeOf(error) !== 'MAILBOX_CLOSED') throw error
          void this.#markers.pass('control', signal).then(this.#told.resolve, () => undefined)
        })
      await untilAbort(signal, Promise.all([asked, this.#told.promise]))
    }
    const word = this.#word()
    return word === undefined ? { how: 'lost', mayStillRun: true } : this.#ended(word)
  }

  #word(): Terminal | undefined {
    const before = this.#options.kept()
    if (this.#held !== undefined || before === undefined || !this.owns(before)) return this.#held
    this.#acknowledge = before.acknowledge ?? this.#acknowledge
    return before.terminal
  }

  #ended(terminal: Terminal): UntrippedEnd {
    return {
      how: 'terminal',
      terminal,
      ...this.#missing(terminal.lastSeq),
      confirm: () => undefined,
      acknowledge: () => this.#acknowledge(),
    }
  }

  /** What nobody can vouch for any more: deltas are not stored, so some of it may have been read. */
  #missing(last: number): { eventsLost?: EventRange } {
    const first = this.#options.lastSeq() + 1
    return last < first ? {} : { eventsLost: { first, last } }
  }

  #mayHaveRun(): boolean {
    const { startedAt, lastSeq, kept } = this.#options
    const isForgotten = this.#clock.now() - startedAt > limits.dedupeWindowMs / 2
    return isForgotten || lastSeq() > 0 || this.#held !== undefined || kept() !== undefined
  }
}
