/**
 * Questions to one run.
 *
 * - *Q1* Each is dealt with once, however often it comes, and answered at most once.
 * - *Q2* A query is answered by the executor's handler, whose signal aborts when nobody waits for its answer any more. What
 *   the handler throws is the answer. Before `open` it is not certain yet whether there will be one.
 * - *Q3* Another question is a text for the executor; once that was taken the next message of the assistant answers it, else
 *   the final words.
 * - *Q4* What is not answered when the attempt ends, and was not taken, is not answered at all: its runner goes on with it.
 */
import {
  encodeMessage,
  GreenroomError,
  textOf,
  type Ask,
  type AskReply,
  type ErrorCode,
  type RunEvent,
} from '@greenroom/proto'
import { messageOf, type Ending } from './ending.ts'
import type { SteeringInbox } from './steering-inbox.ts'

/**
 * Answers a question of the parent's; `signal` aborts when nobody waits for the answer any more. What it throws is the
 * answer, too: `ASK_FAILED`, with its words.
 */
export type AnswerQuestion = (question: string, options: { readonly signal: AbortSignal }) => string | Promise<string>

/** What the questions of a run need of it. */
export interface QuestionsOptions {
  readonly inbox: Pick<SteeringInbox, 'push' | 'withdraw'>
  /** Aborts at the run's end or cancel. */
  readonly signal: AbortSignal
}

interface Open {
  readonly ask: Ask
  readonly reply: (reply: AskReply) => void
  readonly abort: AbortController
  /** Q3: whether the executor has it. */
  isTaken: boolean
}

/** See Q1 to Q4. */
export class Questions {
  readonly #options: QuestionsOptions
  readonly #known = new Set<string>()
  readonly #open = new Map<string, Open>()
  #answer: AnswerQuestion | undefined
  #state: 'new' | 'open' | 'closed' = 'new'

  /** @param options - see {@link QuestionsOptions} */
  constructor(options: QuestionsOptions) {
    this.#options = options
  }

  /** See `RunContext.onAsk`. */
  onAsk(answer: AnswerQuestion): Disposable {
    if (typeof answer !== 'function') throw new GreenroomError('BAD_OPTIONS', 'onAsk: its argument must be a function')
    this.#answer = answer
    return {
      [Symbol.dispose]: () => {
        if (this.#answer === answer) this.#answer = undefined
      },
    }
  }

  /**
   * Takes a question.
   *
   * @param ask - the question
   * @param reply - called with the answer, if there is one
   */
  take(ask: Ask, reply: (reply: AskReply) => void): void {
    const { askId, question, mode } = ask
    if (this.#known.has(askId) || this.#state === 'closed') return
    this.#known.add(askId)
    const open: Open = { ask, reply, abort: new AbortController(), isTaken: false }
    this.#open.set(askId, open)
    if (mode === 'steer')
      this.#options.inbox.push({ steerId: askId, text: question, mode: 'now', settle: () => undefined })
    else if (this.#state === 'open') this.#put(open)
  }

  /** Nobody waits for the answer any more. */
  withdraw(askId: string): void {
    this.#known.add(askId)
    this.#options.inbox.withdraw(askId)
    this.#open.get(askId)?.abort.abort(new GreenroomError('ABORTED', 'nobody waits for the answer any more'))
    this.#open.delete(askId)
  }

  /** There is an executor, which had its chance to say that it answers. */
  open(): void {
    if (this.#state !== 'new') return
    this.#state = 'open'
    for (const open of this.#open.values()) if (open.ask.mode === 'query') this.#put(open)
  }

  /** The executor has taken a text. */
  taken(steerId: string): void {
    const open = this.#open.get(steerId)
    if (open !== undefined) open.isTaken = true
  }

  /** The executor told an event: the assistant's words answer what was taken before. */
  told(event: RunEvent): void {
    if (this.#open.size === 0 || event.type !== 'message' || event.message.role !== 'assistant') return
    const answer = textOf(event.message)
    if (answer !== '') this.#settleTaken({ answer })
  }

  /** The attempt is over. */
  close(ending: Ending): void {
    const error = failure('ASK_UNANSWERED', `the attempt ended as ${ending.status} before the question was answered`)
    this.#settleTaken(ending.status === 'completed' ? { answer: ending.text } : { error })
    this.#state = 'closed'
    this.#open.clear()
  }

  #settleTaken(answer: Pick<AskReply, 'answer' | 'error'>): void {
    for (const open of this.#open.values()) if (open.isTaken) this.#settle(open, answer)
  }

  /** Q2 */
  #put(open: Open): void {
    const { question } = open.ask
    const answer = this.#answer
    if (answer === undefined) return this.#settle(open, { error: failure('ASK_UNSUPPORTED') })
    const signal = AbortSignal.any([open.abort.signal, this.#options.signal])
    const answered = async (): Promise<string> => answer(question, { signal })
    answered().then(
      (text: unknown) =>
        this.#settle(
          open,
          typeof text === 'string' ? { answer: text } : { error: failure('ASK_FAILED', 'the answer is no text') },
        ),
      (error: unknown) => {
        // Q4: it was told to stop, and has not failed.
        if (!signal.aborted) this.#settle(open, { error: failure('ASK_FAILED', messageOf(error)) })
      },
    )
  }

  #settle({ ask: { runId, epoch, askId }, reply }: Open, answer: Pick<AskReply, 'answer' | 'error'>): void {
    // Q1
    if (this.#open.delete(askId)) reply(sendable({ runId, epoch, askId, ...answer }))
  }
}

function failure(code: ErrorCode, message?: string): NonNullable<AskReply['error']> {
  const error = new GreenroomError(code, message)
  return { code, message: error.message, retry: error.retry }
}

/** An answer that no message can carry must not leave the asker waiting. */
function sendable(reply: AskReply): AskReply {
  try {
    encodeMessage('ask-reply', reply)
    return reply
  } catch (error) {
    const { runId, epoch, askId } = reply
    return { runId, epoch, askId, error: failure('ASK_FAILED', `the answer cannot be sent: ${messageOf(error)}`) }
  }
}
