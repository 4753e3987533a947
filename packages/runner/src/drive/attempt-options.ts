/** What an attempt is made of. Types only. */
import type {
  BridgeRequest,
  ChildrenRequest,
  Limits,
  Run,
  RunEvent,
  RunRef,
  SteerReceipt,
  WireEvent,
} from '@greenroom/proto'
import type { KeptTerminal } from './orphan.ts'

/** The worker of an attempt, as far as an attempt needs it. */
export interface DrivenWorker {
  /** Its mailbox. */
  readonly address: string
  /** Its life: messages of another one are not its own. */
  readonly incarnation: string
  /** Its process id, where it has one on this machine. */
  readonly pid?: number | undefined
  /** Whether it is shared: `kill` gives it up, and what it had claimed then may still run. = false */
  readonly isResident?: boolean
  /**
   * Resolves when it was declared gone on the bus, and cannot do anything any more: of a resident that is known only when
   * it was `seenDead`. Never rejects.
   */
  readonly gone: Promise<{
    /** Whether somebody saw its process end. = false */
    readonly seenDead?: boolean
  }>
  /** Ends it by force. */
  kill(): void
}

/** A detached attempt that an earlier life of the runner handed over. */
export interface HandedOver extends RunRef {
  /** What is enforced here of its limits; the rest is its worker's alone. */
  readonly limits: Limits
  /** It is. */
  readonly detached: true
  /** When it was started, in milliseconds since the epoch. */
  readonly startedAt: number
  /** The last of its events that is stored. */
  readonly received: number
  /** Its terminal, where it came before. */
  readonly kept: KeptTerminal | undefined
}

/** What an attempt is made of. */
export interface AttemptOptions {
  /** The whole assignment; its limits are enforced here, too. Or what to go on with. */
  readonly run: Run | HandedOver
  /** Who gets it. */
  readonly worker: DrivenWorker
  /** Ends the attempt; its reason, as text, is told to the executor. */
  readonly signal: AbortSignal
  /** How long from the stored assignment to its acceptance, in milliseconds. */
  readonly acceptMs: number
  /** How long the executor may take to end after a cancel, in milliseconds. */
  readonly cancelGraceMs: number
  /** How long to try to learn what a worker that is gone left behind, in milliseconds. */
  readonly settleMs: number
  /** Takes events, in order, each once; `first` is the first one's number. They are to be acknowledged by {@link Attempt.ack}. */
  readonly record: (first: number, events: readonly (RunEvent | WireEvent)[]) => void
  /** Resolves when all events so far are stored. */
  readonly flushed: () => Promise<void>
  /** Called once, when the worker has claimed the run. */
  readonly onAccepted?: () => void
  /** Called whenever it begins, and ceases, to wait for a decision or for its run's children. */
  readonly onWaits?: () => void
  /** Called once, when the executor has ended. */
  readonly onTerminal?: () => void
  /** Called with what the worker did with a text of {@link Attempt.steer}. */
  readonly onSteerReceipt?: (receipt: SteerReceipt) => void
  /** Called with what the run asks about its children; to be answered by {@link Attempt.answer}. = not answered */
  readonly onChildren?: (request: ChildrenRequest) => void
  /** The same with what it asks over the bridge. */
  readonly onBridge?: (request: BridgeRequest) => void
}
