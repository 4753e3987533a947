/**
 * What one run is asked, wherever it stands.
 *
 * - *N1* One at work: the question goes to the attempt that has it. What an attempt that ended in order left unanswered goes
 *   to the next one.
 * - *N2* One that is not yet at work, or suspended: the question waits for it.
 * - *N3* One that has ended, or completes meanwhile: another run answers in its stead. One that ends otherwise meanwhile leaves
 *   nothing to be asked about.
 */
import { GreenroomError, readAsk, withinDeadline, type Clock, type Outcome } from '@greenroom/proto'
import { untilAbort } from './abort.ts'
import { Change } from './change.ts'
import type { Config } from './config.ts'
import type { Family } from './execution-parts.ts'
import type { Attempt, Question } from './drive/index.ts'
import type { Run } from './run.ts'
import type { Predecessor } from './stand-in.ts'

/** What is asked, and until when. */
export type Ask = (question: Question, signal: AbortSignal) => Promise<string>

/**
 * Asks what a caller wants to know, within its deadline.
 *
 * @param clock - measures that
 * @param asked - the question, and how to ask
 * @param ask - asks
 * @throws GreenroomError `BAD_OPTIONS`, `ASK_TIMEOUT`, `ABORTED`; what `ask` rejects with
 */
export async function askBy(clock: Clock, [text, options]: Parameters<Run['ask']>, ask: Ask): Promise<string> {
  const asked = readAsk(text, options)
  const { question, mode, timeoutMs } = asked
  const deadline = clock.monotonic() + timeoutMs
  return withinDeadline(clock, asked, (signal) => ask({ question, mode, deadline }, signal))
}

/** See N1 to N3. */
export class Asking {
  readonly #seams: Pick<Config, 'clock' | 'random'>
  readonly #askStandIn: Ask
  readonly #change: Change
  #attempt: Pick<Attempt, 'questions' | 'ended'> | undefined
  #outcome: Outcome | undefined

  /**
   * @param seams - time and chance
   * @param run - the run, for one that answers in its stead
   * @param family - starts that one; undefined: nobody does
   */
  constructor(
    seams: Pick<Config, 'clock' | 'random'>,
    run: Predecessor,
    family: Pick<Family, 'askStandIn'> | undefined,
  ) {
    this.#seams = seams
    this.#askStandIn = (...asked) => family?.askStandIn(run, ...asked) ?? Promise.reject(new GreenroomError('CLOSED'))
    this.#change = new Change(seams.clock)
  }

  /** A worker has claimed the run. */
  accepted(attempt: Pick<Attempt, 'questions' | 'ended'>): void {
    this.#attempt = attempt
    // Whoever asks after its end asks the next one.
    void attempt.ended.then(() => {
      if (this.#attempt === attempt) this.#attempt = undefined
    })
    this.#change.tell()
  }

  /** The run has ended. */
  over(outcome: Outcome): void {
    this.#outcome = outcome
    this.#change.tell()
  }

  /**
   * Asks.
   *
   * @param asked - the question, and how to ask
   * @throws GreenroomError as `Children.ask`
   */
  ask(asked: Parameters<Run['ask']>): Promise<string> {
    return askBy(this.#seams.clock, asked, (question, signal) => this.#ask(question, signal))
  }

  async #ask(question: Question, signal: AbortSignal): Promise<string> {
    const wasOver = this.#outcome !== undefined
    for (;;) {
      if (this.#outcome !== undefined) {
        if (wasOver || this.#outcome.status === 'completed') return this.#askStandIn(question, signal)
        throw new GreenroomError('ASK_UNANSWERED', `the run ${endOf(this.#outcome)} before it answered`)
      }
      if (this.#attempt === undefined) await this.#change.wait(signal)
      else {
        const answer = await this.#put(this.#attempt, question, signal)
        if (answer !== undefined) return answer
      }
    }
  }

  /** N1 */
  async #put(
    attempt: Pick<Attempt, 'questions' | 'ended'>,
    question: Question,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const answer = await attempt.questions.ask(this.#seams.random.id(), question, signal)
    if (answer !== undefined) return answer
    const { how } = await untilAbort(signal, attempt.ended)
    if (this.#attempt === attempt) this.#attempt = undefined
    if (how === 'terminal') return undefined
    if (how === 'left') throw new GreenroomError('CLOSED', 'the runner is closed')
    throw new GreenroomError('WORKER_LOST', 'the worker ended or fell silent before it answered')
  }
}

/** For whoever asked: why nobody answers. */
function endOf(outcome: Outcome<unknown>): string {
  if (outcome.status !== 'failed') return `ended as ${outcome.status}`
  return `failed (${outcome.code}: ${outcome.message})`
}
