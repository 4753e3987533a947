/**
 * Detached runs: those that go on when their runner ends, and are taken over by its next life.
 *
 * - *Z1* What a detached worker stores while nobody follows its attempt is moved into the journal as it comes, so that it
 *   takes nobody's place at the bus.
 * - *Z2* An attempt is taken over when nothing of it is on its way into the journal: what is stored then is what its readers
 *   begin with.
 * - *Z3* Whoever takes it over enforces no total time: nobody knows how long it executed meanwhile, but for its worker, which
 *   does (R10).
 * - *Z4* One that the bus has lost may still run, and have a last word, until its process is known to have ended and its
 *   worker to be fenced: it is settled as what an earlier life left.
 */
import { parseEvent, type Clock, type Delivery, type Events } from '@greenroom/proto'
import { untilAbort } from './abort.ts'
import type { Admission } from './admission.ts'
import type { Config } from './config.ts'
import type { AttemptHooks } from './attempt.ts'
import type { Attempt, AttemptEnd, Drive } from './drive/index.ts'
import { entryOperation } from './entry-journal.ts'
import type { AttemptRecord, Journal, OpenRun, RunRecord } from './journal.ts'
import { settleLeftOver, type LeftOver } from './left-over.ts'
import type { Places } from './places.ts'
import type { PlacedWorker, Placement } from './placement/index.ts'
import type { RoleOptions } from './options.ts'
import type { Pool } from './pool/index.ts'
import type { SessionStore } from './session-store.ts'
import type { StoreSessions } from './store-sessions.ts'
import { Transcript } from './transcript.ts'

/** What entries are kept with. */
export interface KeepParts {
  readonly journal: Journal
  readonly sessions: SessionStore
  /** The same, when it is in the journal's database. */
  readonly ownSessions: StoreSessions | undefined
  readonly clock: Clock
}

/**
 * Moves entries that came when nobody followed their attempt into the journal, and messages into the transcript (Z1), but for
 * those of a damaged run: nobody knows its session.
 *
 * @param parts - see {@link KeepParts}
 * @param message - what came
 * @param delivery - as what
 * @returns moves them; undefined when nobody wants them
 */
export function keepEvents(
  parts: KeepParts,
  { runId, epoch, first, events }: Events,
  delivery: Delivery,
): (() => Promise<void>) | undefined {
  const ref = { runId, epoch }
  const record = parts.journal.awaiting(ref, delivery)
  if (record === undefined) return undefined
  const transcript = record === 'damaged' ? undefined : new Transcript({ runId, session: record.session, ...parts })
  const operations = events.map(parseEvent).flatMap((event, index) => {
    const seq = first + index
    return [entryOperation(ref, seq, event), ...(transcript?.transcribe(ref, seq, event) ?? [])]
  })
  return () => parts.journal.entries.put(operations)
}

/** A detached attempt that an earlier life left, with nothing of its end known. */
export function leftDetached({ attempts }: OpenRun): (AttemptRecord & { readonly epoch: number }) | undefined {
  const last = attempts.at(-1)
  return last?.end === undefined && last?.detached !== undefined ? last : undefined
}

/** What an attempt is taken over with. */
export interface TakeOverParts {
  readonly drive: Drive
  readonly journal: Journal
  readonly placement: Placement
  readonly places: Pick<Places, 'reach'>
  readonly admission: Admission
  readonly config: Pick<Config, 'clock' | 'cancelGraceMs' | 'partitionGraceMs' | 'roles'>
  readonly pool: Pick<Pool<never, never>, 'noteRoom'>
  /** Waits for the end of a worker of an earlier life; false when nobody knows. */
  readonly isGone: (record: AttemptRecord) => Promise<boolean>
  /** Ends the run. */
  readonly signal: AbortSignal
  /** Aborts when its runner leaves it. */
  readonly left: AbortSignal
  /** Takes its events, and learns of its progress. */
  readonly hooks: AttemptHooks
  /** Called when it may be acknowledged, steered and watched: `received` is the last of its events that is stored. */
  readonly onAttempt: (attempt: Attempt, worker: PlacedWorker, received: number) => void
}

/**
 * Follows a detached attempt of an earlier life to its end (Z2, Z3).
 *
 * @param parts - see {@link TakeOverParts}
 * @param run - as it was left
 * @returns undefined when it was left again
 * @throws GreenroomError `STORE_DAMAGED`
 */
export async function takeOver(parts: TakeOverParts, run: OpenRun): Promise<LeftOver | undefined> {
  const { drive, journal, placement, pool, admission, config, signal, left, hooks, onAttempt } = parts
  const {
    record: { runId, role },
    attempts,
  } = run
  const last = attempts.at(-1)
  if (last?.detached === undefined) return undefined
  const { epoch, lastSeq: _lastSeq, ...record } = last
  const { totalMs: _totalMs, firstEventMs: _firstEventMs, ...limits } = last.detached.limits
  const ref = { runId, epoch }
  // Whoever cancels it does not wait for a disk.
  await untilAbort(AbortSignal.any([signal, left]), drive.quiet(ref)).catch(() => undefined)
  if (left.aborted) return undefined
  const received = journal.entries.last(ref)
  const worker = placement.adopt(record)
  void worker.gone.then(() => pool.noteRoom())
  // It executes, and counts as soon as there is room: nothing waits for that.
  using _counted = counted(admission, run.record, config.roles.get(role)?.concurrency)
  const attempt = drive.start({
    run: {
      ...ref,
      detached: true,
      limits,
      startedAt: record.startedAt,
      received,
      kept: drive.kept(ref) ?? journal.workers.keptTerminal(ref),
    },
    worker,
    signal,
    acceptMs: Infinity,
    cancelGraceMs: config.cancelGraceMs,
    settleMs: config.partitionGraceMs,
    ...hooks,
    record: (first, events) => hooks.record(epoch, first, events),
  })
  onAttempt(attempt, worker, received)
  const end = await attempt.ended
  if (end.how === 'left') return undefined
  const terminal = end.how === 'terminal' ? end.terminal : undefined
  const over = { how: terminal?.status ?? end.how, lastSeq: attempt.received, at: config.clock.now() }
  if (end.how !== 'lost')
    return { ref, end, record: { ...record, end: over }, usage: terminal?.usage ?? journal.entries.usageOf(ref) }
  const settled = await settleLeftOver(parts, run)
  return (
    settled && {
      ...settled,
      end: stillLost(settled.end, end, journal.entries.last(ref)),
      lost: (await worker.gone).message,
    }
  )
}

/** Z4: its last word, and events up to `stored`, may have come since. */
function stillLost(now: AttemptEnd, before: AttemptEnd & { readonly how: 'lost' }, stored: number): AttemptEnd {
  const { tripped, eventsLost: { first, last } = { first: 0, last: 0 } } = before
  const unsaid = now.how === 'lost' && last > stored ? { eventsLost: { first: Math.max(first, stored + 1), last } } : {}
  return { ...now, ...unsaid, ...(tripped === undefined ? {} : { tripped }) }
}

/** A permit, from when there is one to be had. */
function counted(
  admission: Admission,
  { role, runId, parent: root = runId }: RunRecord,
  shared: RoleOptions['concurrency'],
): Disposable {
  const over = new AbortController()
  const concurrency = shared === undefined ? undefined : { key: shared.key ?? role, limit: shared.limit }
  const entered = admission.enter({ depth: 0, root, priority: Infinity, exempt: true, concurrency }, over.signal)
  return {
    [Symbol.dispose]() {
      over.abort()
      void entered.then(
        (permit) => permit.release(),
        () => undefined,
      )
    },
  }
}
