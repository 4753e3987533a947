/**
 * The attempt loop: the one place where a run is tried again.
 *
 * - *L1* There is one further attempt, and only when the broker withdrew the assignment: then nothing ran.
 * - *L2* A worker that ended by itself before it was ever attached would do so again: no further attempt.
 * - *L3* A worker is retired when its run ended in order, and killed otherwise.
 */
import { GreenroomError, type Clock, type Outcome, type RunEvent, type RunRef, type WireEvent } from '@greenroom/proto'
import { untilAbort } from './abort.ts'
import type { Config } from './config.ts'
import type { Attempt, AttemptEnd, AttemptOptions, Drive } from './drive/index.ts'
import { failed, failedBy, outcomeOf } from './ending.ts'
import type { AttemptRecord, Journal } from './journal.ts'
import type { PlacedWorker, Placement, WorkerEnd } from './placement/index.ts'
import type { Plan } from './plan.ts'

/** What an attempt loop works with. */
export interface AttemptLoop {
  readonly plan: Plan
  readonly placement: Placement
  readonly drive: Drive
  readonly journal: Journal
  readonly config: Pick<Config, 'cancelGraceMs' | 'partitionGraceMs'>
  readonly clock: Clock
  /** Ends the run. */
  readonly signal: AbortSignal
  /** Resolves when the run is recorded: nothing is sent before. */
  readonly begun: Promise<void>
  readonly record: (epoch: number, first: number, events: readonly (RunEvent | WireEvent)[]) => void
  readonly flushed: () => Promise<void>
  readonly onWorker: (worker: PlacedWorker, epoch: number) => void
  /** Called when an attempt has ended, with what its record is to be now. */
  readonly onEnd: (ref: RunRef, record: AttemptRecord) => void
  /** Called when the attempt may be acknowledged, steered and watched. */
  readonly onAttempt: (attempt: Attempt) => void
  readonly hooks: Pick<AttemptOptions, 'onAccepted' | 'onTerminal' | 'onSteerReceipt'>
}

/** How the last attempt ended. */
export interface LoopEnd {
  readonly ref: RunRef
  readonly outcome: Outcome
  /** To be called when the outcome is recorded: worker and broker may forget it. */
  readonly confirm: () => void
  /** To be called then, whether it could be recorded or not: lets the worker go. */
  readonly retire: () => void
}

/**
 * Tries a run until it has an outcome.
 *
 * @param loop - see {@link AttemptLoop}
 * @throws GreenroomError what prevents that there is a worker
 */
export async function runAttempts(loop: AttemptLoop): Promise<LoopEnd> {
  const { runId } = loop.plan.record
  for (let epoch = 1; ; epoch += 1) {
    const ref = { runId, epoch }
    const { worker, end } = await tryOnce(loop, ref)
    if (end.how !== 'terminal') worker.kill()
    const isGone = end.how === 'lost' || (end.how === 'unclaimed' && end.why === 'gone')
    const why = isGone ? await worker.gone : undefined
    if (end.how === 'unclaimed' && epoch === 1 && !loop.signal.aborted && mayRetry(why)) continue
    return {
      ref,
      outcome: outcomeAfter(end, why, loop.signal),
      confirm: end.how === 'terminal' ? end.confirm : () => undefined,
      retire: () => worker.retire(),
    }
  }
}

async function tryOnce(
  loop: AttemptLoop,
  ref: RunRef,
): Promise<{ readonly worker: PlacedWorker; readonly end: AttemptEnd }> {
  const { plan, placement, clock, signal } = loop
  if (signal.aborted) throw new GreenroomError('ABORTED')
  const worker = placement.acquire(plan.need)
  loop.onWorker(worker, ref.epoch)
  const started: AttemptRecord = {
    address: worker.address,
    incarnation: worker.incarnation,
    host: worker.host,
    warm: worker.warm,
    startedAt: clock.now(),
    ...(worker.pid === undefined ? {} : { pid: worker.pid }),
  }
  const { end, lastSeq } = await follow(loop, ref, worker, started)
  const how = end.how === 'terminal' ? end.terminal.status : end.how
  loop.onEnd(ref, { ...started, end: { how, lastSeq, at: clock.now() } })
  return { worker, end }
}

/** From the record of an attempt to its end. */
async function follow(
  { plan, drive, journal, config, signal, ...loop }: AttemptLoop,
  ref: RunRef,
  worker: PlacedWorker,
  record: AttemptRecord,
): Promise<{ readonly end: AttemptEnd; readonly lastSeq: number }> {
  try {
    await untilAbort(signal, Promise.all([loop.begun, journal.attempt(ref, record)]))
  } catch (error) {
    return { end: signal.aborted ? { how: 'unclaimed', why: 'cancelled' } : { how: 'failed', error }, lastSeq: 0 }
  }
  const attempt = drive.start({
    run: { ...plan.assignment, epoch: ref.epoch },
    worker,
    signal,
    acceptMs: plan.acceptMs,
    cancelGraceMs: config.cancelGraceMs,
    settleMs: config.partitionGraceMs,
    record: (first, events) => loop.record(ref.epoch, first, events),
    flushed: loop.flushed,
    ...loop.hooks,
  })
  loop.onAttempt(attempt)
  const end = await attempt.ended
  return { end, lastSeq: attempt.received }
}

/** L2; a worker that was silent or refused may be followed by a better one. */
function mayRetry(worker: WorkerEnd | undefined): boolean {
  return worker === undefined || wasLost(worker)
}

/** Whether it was well and was killed, or else it could not even start. */
function wasLost({ attached, exit }: WorkerEnd): boolean {
  return attached || exit.signal !== null
}

function outcomeAfter(end: AttemptEnd, worker: WorkerEnd | undefined, signal: AbortSignal): Outcome {
  if (end.how === 'terminal') return outcomeOf(end.terminal, end.eventsLost)
  const lost = end.how === 'lost' && end.eventsLost !== undefined ? { eventsLost: end.eventsLost } : {}
  if (end.how === 'failed') return failedBy(end.error)
  if (signal.aborted) return { status: 'cancelled', reason: String(signal.reason), ...lost }
  const mayStillRun = end.how === 'lost' && end.mayStillRun
  if (worker === undefined) return failed('WORKER_LOST', 'the worker did not take the run', { mayStillRun })
  // What was claimed had a worker, also where the runner could not see it attach.
  if (end.how === 'lost' || wasLost(worker)) return failed('WORKER_LOST', worker.message, { mayStillRun, ...lost })
  return worker.error === undefined
    ? failed('WORKER_SPAWN_FAILED', worker.message)
    : failed(worker.error.code, worker.error.message)
}
