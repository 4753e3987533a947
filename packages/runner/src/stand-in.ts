/**
 * Runs that answer in the stead of one that has ended: of its role, with what its session has, and the question as their task.
 *
 * - *I1* They are let in and bounded as any run, each as the first was, and are children of the same parent. Nobody waits for one in another life of
 *   the runner: it is cancelled there.
 * - *I2* `query` has a session of its own, and leaves that of the run alone. `steer` goes on with it, one question after the
 *   other.
 */
import { GreenroomError, isErrorCode, type Outcome } from '@greenroom/proto'
import { untilAbort } from './abort.ts'
import type { Question } from './drive/index.ts'
import type { ExecutionOptions } from './execution-parts.ts'
import type { Kin } from './journal.ts'
import type { Run, RunSpec } from './run.ts'
import type { SessionStore } from './session-store.ts'

/** The run that was asked. */
export interface Predecessor extends Pick<RunSpec, 'role' | 'workspace' | 'model' | 'priority' | 'limits' | 'budget'> {
  readonly session: string
  readonly kin?: Kin | undefined
}

/** What it takes to start one. */
export interface StandInOptions {
  /** Starts a run. */
  readonly start: (spec: RunSpec, more: ExecutionOptions) => Pick<Run, 'outcome'>
  readonly sessions: Pick<SessionStore, 'messages'>
  /** A name of nobody's. */
  readonly freshKey: () => string
}

/** See I1 and I2. */
export class StandIns {
  readonly #options: StandInOptions
  /** I2: resolves when the last one in a session has ended. */
  readonly #turns = new Map<string, Promise<unknown>>()

  /** @param options - see {@link StandInOptions} */
  constructor(options: StandInOptions) {
    this.#options = options
  }

  /**
   * Asks.
   *
   * @param run - who was asked
   * @param question - the question
   * @param signal - gives it up, and cancels the run that would answer
   * @returns its final words
   * @throws GreenroomError `ABORTED`, `ASK_UNANSWERED`, `ASK_FAILED`; the code of its failed outcome
   */
  async ask(run: Predecessor, question: Question, signal: AbortSignal): Promise<string> {
    if (question.mode === 'query') return answerIn(await untilAbort(signal, this.#query(run, question, signal)))
    const { session } = run
    const before = this.#turns.get(session) ?? Promise.resolve()
    const outcome = before.then(() => (signal.aborted ? givenUp : this.#steer(run, question, signal)))
    // One that is not even begun, as its budget is used up, concerns nobody but who asked.
    const over = outcome.catch(() => undefined)
    this.#turns.set(session, over)
    void over.then(() => {
      if (this.#turns.get(session) === over) this.#turns.delete(session)
    })
    return answerIn(await untilAbort(signal, outcome))
  }

  async #query(run: Predecessor, { question }: Question, signal: AbortSignal): Promise<Outcome> {
    const messages = await this.#options.sessions.messages(run.session)
    return this.#start(run, { task: question, messages, signal })
  }

  #steer(run: Predecessor, { question }: Question, signal: AbortSignal): Promise<Outcome> {
    return this.#start(run, { task: question, session: run.session, signal })
  }

  #start(run: Predecessor, order: Omit<RunSpec, 'role'>): Promise<Outcome> {
    const { start, freshKey } = this.#options
    const { kin } = run
    return start(
      { ...likeThat(run), ...order },
      { mark: { isStandIn: true }, kin: kin && { ...kin, childKey: freshKey() } },
    ).outcome
  }
}

const givenUp: Outcome = { status: 'cancelled', reason: 'nobody waits for the answer any more' }

/** What another run has of it. Without its runner nobody would wait for one: it is never detached. */
function likeThat({ role, workspace, model, priority, limits, budget }: Predecessor): RunSpec {
  return {
    role,
    detached: false,
    ...(workspace === undefined ? {} : { workspace }),
    ...(model === undefined ? {} : { model }),
    ...(priority === undefined ? {} : { priority }),
    ...(limits === undefined ? {} : { limits }),
    ...(budget === undefined ? {} : { budget }),
  }
}

function answerIn(outcome: Outcome): string {
  if (outcome.status === 'completed') return outcome.text
  const inVain = `the run that was to answer ended as ${outcome.status}`
  if (outcome.status !== 'failed') throw new GreenroomError('ASK_UNANSWERED', inVain)
  const { code, message } = outcome
  throw isErrorCode(code) ? new GreenroomError(code, message) : new GreenroomError('ASK_FAILED', `${code}: ${message}`)
}
