/** What one run asks its runner, and is answered: each request is stored at the bus before it is waited for, and ends with the run. */
import { GreenroomError, isErrorCode, type Failure, type RunRef } from '@greenroom/proto'
import { untilEnd } from './pause.ts'

/** What an answer has. */
interface Answer {
  readonly requestId: string
  readonly error?: Failure
}

/** What requests need. */
export interface RunnerRequestsOptions<Call> {
  readonly ref: RunRef
  /** Aborts at the run's end or cancel. */
  readonly signal: AbortSignal
  /** Stores a request in the runner's mailbox. */
  readonly send: (request: RunRef & { readonly requestId: string } & Call, lasting: Lasting) => Promise<unknown>
}

/** How long a request makes sense. */
export interface Lasting {
  /** Ends the sending: what did not come to the bus before does not come there later. */
  readonly signal: AbortSignal
  /** So long it may lie in the runner's mailbox, in milliseconds. = for ever */
  readonly ttlMs?: number
}

/** See above. */
export class RunnerRequests<Call extends object, Result extends Answer> {
  readonly #options: RunnerRequestsOptions<Call>
  readonly #open = new Map<string, (result: Result) => void>()

  /** @param options - see {@link RunnerRequestsOptions} */
  constructor(options: RunnerRequestsOptions<Call>) {
    this.#options = options
  }

  /** An answer came. One that nobody waits for is dropped. */
  answered(result: Result): void {
    this.#open.get(result.requestId)?.(result)
  }

  /**
   * Asks.
   *
   * @param requestId - the same again is the same request
   * @param call - what is asked
   * @param lasting - how long it makes sense. = as long as the run
   * @throws GreenroomError what is answered; the reason of the run's signal
   */
  async request(requestId: string, call: Call, lasting?: Lasting): Promise<Result> {
    const { ref, signal, send } = this.#options
    signal.throwIfAborted()
    const { promise, resolve } = Promise.withResolvers<Result>()
    this.#open.set(requestId, resolve)
    try {
      const until = lasting === undefined ? signal : AbortSignal.any([signal, lasting.signal])
      await untilEnd(signal, send({ ...ref, requestId, ...call }, { ...lasting, signal: until }))
      const result = await untilEnd(signal, promise)
      if (result.error === undefined) return result
      const { code, message } = result.error
      throw new GreenroomError(isErrorCode(code) ? code : 'INTERNAL', message)
    } finally {
      this.#open.delete(requestId)
    }
  }
}
