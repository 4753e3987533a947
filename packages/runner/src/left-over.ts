/**
 * What an earlier life of the runner left of a run: its last attempt, without an end.
 *
 * - *S1* It is settled before anything else, whoever cancels meanwhile: what is not withdrawn or fenced may still execute.
 * - *S2* Nobody waits for that longer than `partitionGraceMs`: then it may still run.
 * - *S3* What a backup brought back may have been tried again since, and have ended: only a last word after which no other
 *   attempt follows says how.
 */
import type { Outcome, RunRef, Terminal, Usage } from '@greenroom/proto'
import { untilAbort } from './abort.ts'
import type { Config } from './config.ts'
import type { AttemptEnd, UntrippedEnd } from './drive/index.ts'
import { failed, outcomeOf, outcomeOfTrip, withUsage } from './ending.ts'
import type { AttemptRecord, Journal, OpenRun } from './journal.ts'
import type { Places } from './places.ts'
import { mayHelp } from './retry.ts'
import { waitIn } from './suspension.ts'

/** What a left-over attempt is settled with. */
export interface LeftOverParts {
  readonly places: Pick<Places, 'reach'>
  readonly journal: Journal
  readonly config: Pick<Config, 'clock' | 'partitionGraceMs'>
  /** Waits for the end of a worker of an earlier life; false when nobody knows. */
  readonly isGone: (record: AttemptRecord) => Promise<boolean>
  /** Aborts when the run is cancelled. */
  readonly signal: AbortSignal
}

/** A left-over attempt, settled. */
export interface LeftOver {
  readonly ref: RunRef
  readonly end: AttemptEnd
  /** As it is to be recorded now. */
  readonly record: AttemptRecord
  readonly usage: Usage | undefined
  /** Whether nobody knows that the bus has declared its worker gone: see O4 of `drive/orphan`. */
  readonly isUnfenced?: true
  /** Its worker went on without its runner, and ended without a last word: how, for people. */
  readonly lost?: string
}

/**
 * Settles the last attempt of a run (S1, S2).
 *
 * @param parts - see {@link LeftOverParts}
 * @param run - as it was left
 * @returns undefined when its last attempt has an end, or there is none
 * @throws GreenroomError `STORE_DAMAGED`
 */
export async function settleLeftOver(
  parts: LeftOverParts,
  { record: run, attempts }: OpenRun,
): Promise<LeftOver | undefined> {
  const last = attempts.at(-1)
  if (last === undefined || last.end !== undefined) return undefined
  const { journal, config } = parts
  const { epoch, lastSeq: _lastSeq, ...record } = last
  const ref = { runId: run.runId, epoch }
  const settling = await settled(parts, ref, record, run.role)
  const end = settling ?? unsettled
  const terminal = end.how === 'terminal' ? end.terminal : undefined
  const over = {
    how: terminal?.status ?? end.how,
    lastSeq: terminal?.lastSeq ?? journal.entries.last(ref),
    at: config.clock.now(),
    ...suspended(terminal),
  }
  const usage = terminal?.usage ?? journal.entries.usageOf(ref)
  const isUnfenced = settling === undefined && record.kind === undefined
  return { ref, end, record: { ...record, end: over }, usage, ...(isUnfenced ? { isUnfenced } : {}) }
}

function suspended(terminal: Terminal | undefined): Pick<NonNullable<AttemptRecord['end']>, 'waitsFor'> {
  const waitsFor = terminal && waitIn(terminal)
  return waitsFor === undefined ? {} : { waitsFor }
}

/** S2 */
const unsettled: UntrippedEnd = { how: 'lost', mayStillRun: true }

/** Undefined when nobody could find out in time. */
async function settled(
  { places, journal, config, isGone, signal }: LeftOverParts,
  ref: RunRef,
  record: AttemptRecord,
  role: string,
): Promise<UntrippedEnd | undefined> {
  const { address, incarnation, startedAt } = record
  const late = new AbortController()
  const timer = config.clock.timer(config.partitionGraceMs, () => late.abort())
  try {
    const drive = await untilAbort(late.signal, places.reach(record, role))
    return await drive.settle({
      ref,
      worker: { address, incarnation, gone: () => isGone(record) },
      startedAt,
      isDetached: record.detached !== undefined,
      isResident: record.kind !== undefined,
      lastSeq: () => journal.entries.last(ref),
      kept: () => journal.workers.keptTerminal(ref),
      signal: late.signal,
      cancelled: signal,
    })
  } catch {
    return undefined
  } finally {
    timer.cancel()
  }
}

/**
 * The outcome of a run whose last attempt was left over, as far as that decides it.
 *
 * @param leftOver - the attempt
 * @param idempotent - whether the run may have its effects twice: then it is as good as lost
 * @param signal - aborts when the caller has cancelled the run
 * @returns undefined when nothing ran, or it waits for its children
 */
export function outcomeOfLeftOver(
  { end, record, lost }: LeftOver,
  idempotent: boolean,
  signal: AbortSignal,
): Outcome | undefined {
  const eventsLost = end.how === 'terminal' || end.how === 'lost' ? end.eventsLost : undefined
  if (end.tripped !== undefined) return outcomeOfTrip(end.tripped, eventsLost)
  const cancelled = { status: 'cancelled', reason: String(signal.reason) } as const
  if (end.how === 'terminal') {
    // Whom it waits for is nobody's concern any more.
    if (end.terminal.status === 'suspended') return signal.aborted ? cancelled : undefined
    if (end.terminal.status !== 'cancelled' || record.detached !== undefined) return outcomeOf(end.terminal, eventsLost)
    // Nobody cancelled it before: its worker did, when it had lost its runner.
    const stopped = failed('WORKER_LOST', 'its worker stopped it when its runner had ended', { mayStillRun: false })
    return signal.aborted ? cancelled : stopped
  }
  if (end.how !== 'lost') return undefined
  const { mayStillRun } = end
  if (signal.aborted && !mayStillRun) return cancelled
  // Its last word was stored before it left, if it had one.
  if (lost !== undefined) return failed('WORKER_LOST', lost, { mayStillRun, ...(eventsLost && { eventsLost }) })
  if (idempotent && !mayStillRun) return failed('WORKER_LOST', 'its runner ended', { mayStillRun })
  return failed('OUTCOME_UNKNOWN', 'its runner ended while a worker had it', { mayStillRun })
}

/**
 * The outcome of a run that was open in a backup (S3).
 *
 * @param leftOver - its last attempt in the backup, when that had no end there
 */
export function outcomeOfRestored(leftOver: LeftOver | undefined): Outcome {
  if (leftOver?.end.how === 'terminal') {
    const { terminal, eventsLost } = leftOver.end
    const outcome = withUsage(outcomeOf(terminal, eventsLost), leftOver.usage)
    const isLast = terminal.status !== 'suspended' && outcome.status !== 'cancelled'
    if (isLast && !mayHelp(outcome)) return outcome
  }
  // Nor does anybody know who had it last.
  return failed('OUTCOME_UNKNOWN', 'it was open in the backup that its runner was restored from', { mayStillRun: true })
}
