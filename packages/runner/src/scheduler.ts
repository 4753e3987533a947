/**
 * The scheduler: runs a parent's children in the background, each with exactly one outcome record and one delivery.
 *
 * ```text
 * enqueue ─► (waits for room) ─► run ─► outcome recorded ─► parent's stream ─► handler ─► `delivered` recorded ─► the worker
 *                                                                                            may forget it
 * ```
 *
 * - *D1* Whatever becomes of a job (completed, failed, cancelled, timed out, skipped, never planned), its outcome is
 *   recorded once, and its handler is called.
 * - *D2* The handler is called again, with the same `runId`, when the program ended before its delivery was recorded.
 * - *D3* A session has one run at a time here: a job for one that has is `skipped`.
 * - *D4* Jobs wait for their turn, not for each other's runs.
 */
import { GreenroomError, type Clock, type JsonValue, type Outcome, type Random, type Timer } from '@greenroom/proto'
import type { Duty } from './duty.ts'
import type { InputOf, OutputOf } from './entry.ts'
import type { Journal, OpenRun } from './journal.ts'
import type { Logger } from './launcher.ts'
import { ParentStream, type ChildEvent } from './parent-stream.ts'
import type { Roles } from './options.ts'
import { nextTurn } from './platform/turn.ts'
import { Room } from './room.ts'
import type { Run, TypedRunSpec } from './run.ts'
import type { SessionStore } from './session-store.ts'

/** A child that ended. */
export interface Completion {
  /** The child's run. */
  readonly runId: string
  /** The child's session. */
  readonly session: string
  /** The role that it ran. */
  readonly role: string
  /** The parent that the scheduler is for. */
  readonly parent: string
  /** How it ended. */
  readonly outcome: Outcome
}

/** How to schedule a parent's children. */
export interface SchedulerOptions {
  /** Names the parent, usually its session: letters, digits, `.`, `_` and `-`. What was not delivered in an earlier life is found by it. */
  readonly parent: string
  /**
   * Called once for each job when its outcome is recorded. What it throws is logged, and the delivery counts: whoever
   * wants it again has to keep it. After a crash it may be called a second time with the same `runId`. It may wait for
   * other runs, but not for a `drain` or `close`, which wait for it.
   */
  readonly onCompletion?: (completion: Completion) => void | Promise<void>
  /** How many jobs may wait for their turn; `enqueue` waits beyond. = 128 */
  readonly queue?: number
  /** How often the parent's stream says where each child stands, in milliseconds. = 5,000 */
  readonly heartbeatMs?: number
}

/** Runs a parent's children. Reading it yields their events, wrapped; see {@link ChildEvent}. */
export interface Scheduler<Executors = Readonly<Record<string, unknown>>, R extends Roles<Executors> = Roles<Executors>>
  extends AsyncIterable<ChildEvent>, AsyncDisposable {
  /**
   * Takes a job; waits while as many as may are waiting for their turn. What is wrong with it is in its outcome.
   *
   * @param spec - as for `runner.run`; without a task and with a session whose last message is not the user's it is `skipped`
   * @param options - `signal`: ends the waiting
   * @throws GreenroomError `ABORTED`, `CLOSED`
   */
  enqueue<Role extends keyof R & string>(
    spec: TypedRunSpec<Role, InputOf<Executors[R[Role]['executor']]>>,
    options?: { readonly signal?: AbortSignal },
  ): Promise<Run<OutputOf<Executors[R[Role]['executor']]>>>
  /** Jobs that wait for their turn, in `enqueue` too. */
  readonly waiting: number
  /**
   * Takes no new jobs, waits until those it has are delivered, then ends the stream. Also the async disposer. The runner's
   * own `drain` and `close` do it too.
   */
  drain(): Promise<void>
}

/** A scheduler whatever the types of its runner's roles. Every {@link Scheduler} is one. */
export interface AnyScheduler extends Omit<Scheduler, 'enqueue'> {
  /** Takes a job; see {@link Scheduler.enqueue}. */
  enqueue(spec: TypedRunSpec<string, unknown>, options?: { readonly signal?: AbortSignal }): Promise<Run<unknown>>
}

/** What a scheduler works with. */
export interface SchedulerParts {
  readonly start: (spec: AnySpec, duty: Duty) => Followed
  /** A parent's runs that an earlier life left open, and that nobody goes on with yet. */
  readonly openRuns: (parent: string) => readonly OpenRun[]
  /** Those that go on already, without it: their ends are delivered by it all the same. */
  readonly resumed: (parent: string) => readonly Followed[]
  /** Goes on with one. */
  readonly resume: (earlier: OpenRun, duty: Duty) => Followed
  readonly journal: Journal
  readonly sessions: SessionStore
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

/** A run, and when all is done that follows its end. */
type Followed = Run & { readonly settled: Promise<void> }

type AnySpec = TypedRunSpec<string, JsonValue | undefined>

interface Job {
  readonly spec: AnySpec & { readonly session: string }
  run?: Run
}

/** See D1 to D4. */
export class RunScheduler implements Scheduler {
  readonly #parts: SchedulerParts
  readonly #options: SchedulerOptions
  readonly #stream = new ParentStream()
  /** For those that wait for their turn. */
  readonly #room: Room
  /** By session (D3). */
  readonly #live = new Map<string, Job>()
  readonly #pending = new Set<Promise<void>>()
  #heartbeat: Timer | undefined
  #draining: Promise<void> | undefined

  readonly #onDrained: () => void

  /**
   * @param parts - what it works with
   * @param options - see {@link SchedulerOptions}
   * @param onDrained - called when it will do nothing more
   */
  constructor(parts: SchedulerParts, options: SchedulerOptions, onDrained: () => void) {
    this.#parts = parts
    this.#onDrained = onDrained
    this.#options = options
    this.#room = new Room(options.queue ?? 128)
    const { parent } = options
    const onDamaged = (runId: string, error: unknown): void =>
      parts.logger.warn('the end of a child is damaged: its parent is not told', {
        parent,
        runId,
        error: String(error),
      })
    for (const completion of parts.journal.completions.undelivered(parent, onDamaged))
      this.#track(this.deliver(completion))
    for (const run of parts.resumed(options.parent)) {
      const { role, session } = run.status()
      this.#follow(this.#occupy({ spec: { role, session } }), run)
    }
    for (const earlier of parts.openRuns(options.parent)) this.#goOn(earlier)
  }

  /** Whom it tells. */
  get parent(): string {
    return this.#options.parent
  }

  get waiting(): number {
    return this.#room.occupied
  }

  async enqueue(spec: AnySpec, { signal }: { readonly signal?: AbortSignal } = {}): Promise<Run> {
    // At once where there is room: who drains next has this job, too.
    if (signal?.aborted === true || !this.#room.tryEnter()) await this.#enterLater(signal)
    // A caller in JavaScript may pass anything, and is told so by the run's outcome.
    const given = typeof spec === 'object' && spec !== null ? spec : { role: String(spec) }
    const job: Job = { spec: { ...given, session: given.session ?? this.#parts.random.id() } }
    return this.#follow(job, this.#parts.start(job.spec, this.#dutyOf(job)))
  }

  /** A job of an earlier life (D1): it is in, whoever else waits. */
  #goOn(earlier: OpenRun): void {
    const { role, session } = earlier.record
    const job = this.#occupy({ spec: { role, session } })
    this.#follow(job, this.#parts.resume(earlier, { ...this.#dutyOf(job), admitted: () => undefined }))
  }

  #occupy(job: Job): Job {
    const { session } = job.spec
    if (!this.#live.has(session)) this.#live.set(session, job)
    return job
  }

  #follow(job: Job, run: Followed): Run {
    const { role, session } = job.spec
    job.run = run
    this.#stream.add(run, { runId: run.id, role, session })
    this.#beat()
    void run.outcome.then(() => {
      this.#stream.remove(run)
      if (this.#live.get(session) === job) this.#live.delete(session)
    })
    this.#track(run.settled)
    return run
  }

  drain(): Promise<void> {
    this.#draining ??= (async () => {
      this.#room.close(closed())
      while (this.#pending.size > 0) await Promise.all(this.#pending)
      this.end()
    })()
    return this.#draining
  }

  /** Its runner has closed: what is not delivered by now is delivered in the next life. */
  end(): void {
    this.#heartbeat?.cancel()
    this.#stream.end()
    this.#onDrained()
  }

  [Symbol.asyncIterator](): AsyncIterator<ChildEvent> {
    return this.#stream[Symbol.asyncIterator]()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.drain()
  }

  // ─── one job ───────────────────────────────────────────────────────────────────────────────────────────────────

  #dutyOf(job: Job): Duty {
    const { session, role } = job.spec
    const { journal, clock } = this.#parts
    const { parent } = this.#options
    let waits = true
    return {
      parent,
      exempt: true,
      admitted: () => {
        if (!waits) return
        waits = false
        this.#room.leave()
      },
      skip: () => this.#skip(job),
      operations: (runId) => [journal.completions.note(parent, { runId, session, role }, clock.now())],
      deliver: async (runId, outcome) => {
        // Readers of the stream that keep up have its end first; others do not hold it up.
        await nextTurn()
        await this.deliver({ runId, session, role, parent, outcome })
      },
    }
  }

  async #skip(job: Job): Promise<string | undefined> {
    const { session, task, messages } = job.spec
    const other = this.#live.get(session)
    if (other !== undefined) return `session ${session} has a run in progress: ${other.run?.id}`
    this.#live.set(session, job)
    if (task !== undefined || messages !== undefined) return undefined
    const last = (await this.#parts.sessions.messages(session)).at(-1)
    return last === undefined || last.role === 'user'
      ? undefined
      : "there is nothing to do: the last message is not the user's"
  }

  /** Tells the parent (D2). */
  async deliver(completion: Completion): Promise<void> {
    const { journal, clock, logger } = this.#parts
    const { parent, runId } = completion
    try {
      await this.#options.onCompletion?.(completion)
    } catch (error) {
      logger.warn('a completion handler failed', { parent, runId, error: String(error) })
    }
    try {
      await journal.completions.delivered(parent, completion, clock.now())
    } catch (error) {
      logger.warn('a delivery could not be recorded: it is made again at the next start', {
        parent,
        runId,
        error: String(error),
      })
    }
  }

  // ─── waiting ───────────────────────────────────────────────────────────────────────────────────────────────────

  async #enterLater(signal = neverAborted): Promise<void> {
    await this.#room.enter(signal)
    if (this.#draining === undefined) return
    this.#room.leave()
    throw closed()
  }

  #track(work: Promise<void>): void {
    const pending = work.finally(() => this.#pending.delete(pending))
    this.#pending.add(pending)
  }

  #beat(): void {
    this.#heartbeat ??= this.#parts.clock.timer(
      this.#options.heartbeatMs ?? 5_000,
      () => {
        this.#heartbeat = undefined
        this.#stream.beat()
        if (this.#pending.size > 0) this.#beat()
      },
      { background: true },
    )
  }
}

const closed = (): GreenroomError => new GreenroomError('CLOSED', 'the scheduler takes no new jobs')
const neverAborted = new AbortController().signal
