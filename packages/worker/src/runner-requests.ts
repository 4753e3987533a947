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
  readonly send: (request: RunRef & { readonly requestId: string } & Call, signal: AbortSignal) => Promise<unknown>
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
   * @throws GreenroomError what is answered; the reason of the run's signal
   */
  async request(requestId: string, call: Call): Promise<Result> {
    const { ref, signal, send } = this.#options
    signal.throwIfAborted()
    const { promise, resolve } = Promise.withResolvers<Result>()
    this.#open.set(requestId, resolve)
    try {
      await untilEnd(signal, send({ ...ref, requestId, ...call }, signal))
      const result = await untilEnd(signal, promise)
      if (result.error === undefined) return result
      const { code, message } = result.error
      throw new GreenroomError(isErrorCode(code) ? code : 'INTERNAL', message)
    } finally {
      this.#open.delete(requestId)
    }
  }
}
