/**
 * What one attempt's executor is asked.
 *
 * - *E1* An answer is given to whom its question names, while that waits for it: any other is late, and dropped.
 * - *E2* A question that is given up is taken back: one that its worker has not got yet expires with its deadline, and what
 *   answers is told that nobody waits.
 */
import {
  codeOf,
  encodeMessage,
  GreenroomError,
  isErrorCode,
  kinds,
  type AskMode,
  type AskReply,
  type Clock,
  type Peer,
  type RunMessages,
  type RunRef,
} from '@greenroom/proto'
import { untilAbort } from '../abort.ts'
import { sendWhenRoom } from './room-send.ts'

/** A question on its way. */
export interface Question {
  /** In words. */
  readonly question: string
  /** How it is asked. */
  readonly mode: AskMode
  /** When nobody waits for its answer any more, in milliseconds of the runner's monotonic clock. */
  readonly deadline: number
}

/** What questions are put by. */
export interface QuestionsOptions {
  /** Sends them. */
  readonly peer: Peer
  /** The worker's mailbox. */
  readonly to: string
  /** The attempt. */
  readonly ref: RunRef
  /** Measures deadlines. */
  readonly clock: Clock
  /** Resolves when the attempt has ended. */
  readonly ended: Promise<unknown>
}

/** See E1 and E2. */
export class Questions {
  readonly #options: QuestionsOptions
  readonly #open = new Map<string, (reply: AskReply | undefined) => void>()
  readonly #over = new AbortController()

  /** @param options - see {@link QuestionsOptions} */
  constructor(options: QuestionsOptions) {
    this.#options = options
    void options.ended.then(() => {
      this.#over.abort()
      for (const settle of this.#open.values()) settle(undefined)
    })
  }

  /**
   * Asks.
   *
   * @param askId - names the question
   * @param question - the question
   * @param signal - gives it up
   * @returns the answer; undefined when the attempt ended before there was one
   * @throws GreenroomError `ABORTED`; `ASK_UNSUPPORTED`, `ASK_FAILED`, `ASK_UNANSWERED`; as `Peer.send`
   */
  async ask(askId: string, question: Question, signal: AbortSignal): Promise<string | undefined> {
    if (this.#over.signal.aborted) return undefined
    const { promise, resolve, reject } = Promise.withResolvers<AskReply | undefined>()
    this.#open.set(askId, resolve)
    try {
      // The mailbox of a worker that is gone is closed: the attempt's end says so.
      this.#put(askId, question, signal).catch((error: unknown) => codeOf(error) === 'MAILBOX_CLOSED' || reject(error))
      return answerIn(await untilAbort(signal, promise))
    } finally {
      this.#open.delete(askId)
      if (signal.aborted) this.#takeBack(askId)
    }
  }

  /**
   * Takes an answer.
   *
   * @returns whether anybody waits for it (E1)
   */
  answered(reply: AskReply): boolean {
    const settle = this.#open.get(reply.askId)
    settle?.(reply)
    return settle !== undefined
  }

  async #put(askId: string, { question, mode, deadline }: Question, signal: AbortSignal): Promise<void> {
    const { peer, clock } = this.#options
    const ttlMs = Math.max(1, Math.ceil(deadline - clock.monotonic()))
    const outgoing = { ...this.#outgoing('ask', askId, { ...this.#options.ref, askId, question, mode }), ttlMs }
    await sendWhenRoom(peer, outgoing, clock, { signal })
  }

  /** E2 */
  #takeBack(askId: string): void {
    const { peer, ref, clock } = this.#options
    const signal = this.#over.signal
    sendWhenRoom(peer, this.#outgoing('unask', askId, { ...ref, askId }), clock, { signal }).catch(() => undefined)
  }

  #outgoing<K extends 'ask' | 'unask'>(kind: K, askId: string, message: RunMessages[K]): Parameters<Peer['send']>[0] {
    const { control } = kinds[kind]
    return { to: this.#options.to, id: `${kind}-${askId}`, kind, control, payload: encodeMessage(kind, message) }
  }
}

function answerIn(reply: AskReply | undefined): string | undefined {
  if (reply?.error === undefined) return reply === undefined ? undefined : (reply.answer ?? '')
  const { code, message } = reply.error
  throw isErrorCode(code) ? new GreenroomError(code, message) : new GreenroomError('ASK_FAILED', `${code}: ${message}`)
}
