/** Runs as they are read later: one that has ended, out of the journal, and one in progress from some event on. */
import type { AskOptions, Outcome, ReadEvent } from '@greenroom/proto'
import { checkSend } from './config.ts'
import type { Journal, RunRecord } from './journal.ts'
import { Feed, type ReadAfter } from './reader.ts'
import type { Run, SendOptions, SteerStatus } from './run.ts'

/** A run, as its runner has it. */
export interface HeldRun extends Run {
  /** `atOnce`: what no worker has is `queued`, also when its worker goes away meanwhile. */
  send(text: string, options?: SendOptions, atOnce?: boolean): Promise<SteerStatus>
}

/** What still may be done with a run that has ended. */
interface PastRunOptions {
  readonly after: ReadAfter | undefined
  readonly send: (text: string) => Promise<void>
  readonly ask: (question: string, options?: AskOptions) => Promise<string>
}

/**
 * A run that has ended.
 *
 * @param journal - knows it
 * @param record - what was asked for
 * @param outcome - how it ended
 * @param options - `after`: its readers begin with the event after that one; `send`: adds a text to its session; `ask`: has
 *   another run answer
 */
export function pastRun(
  journal: Journal,
  record: RunRecord,
  outcome: Outcome,
  { after, send, ask }: PastRunOptions,
): Run {
  const { runId, role, session, startedAt } = record
  const attempts = journal.attempts(runId)
  const ended = Promise.resolve(outcome)
  return {
    id: runId,
    outcome: ended,
    async send(text, options = {}) {
      checkSend(text, options)
      await send(text)
      return 'not-live'
    },
    ask,
    cancel: () => ended,
    workerLog: () => [],
    status: () => ({
      runId,
      role,
      session,
      phase: 'ended',
      attempts: attempts.length,
      events: attempts.at(-1)?.end?.lastSeq ?? 0,
      startedAt,
      ms: (journal.endedAt(runId) ?? startedAt) - startedAt,
      status: outcome.status,
    }),
    [Symbol.asyncIterator]() {
      const feed = new Feed(runId, journal, attempts)
      const reader = feed.read(after)
      feed.end()
      return reader
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

/**
 * A run in progress whose readers begin later.
 *
 * @param run - the run
 * @param read - opens a reader
 */
export function runFrom(run: HeldRun, read: () => AsyncIterator<ReadEvent, undefined>): HeldRun {
  return {
    id: run.id,
    outcome: run.outcome,
    send: (...said) => run.send(...said),
    ask: (question, options) => run.ask(question, options),
    cancel: (reason) => run.cancel(reason),
    workerLog: () => run.workerLog(),
    status: () => run.status(),
    [Symbol.asyncIterator]: read,
    [Symbol.asyncDispose]: () => run[Symbol.asyncDispose](),
  }
}
