/**
 * One attempt at a run, from its claim to its end.
 *
 * - *T1* It ends once: by its executor, or a grace after its cancel, whichever comes first.
 * - *T2* Once it has ended nothing of it goes out any more, whatever the executor still does.
 * - *T3* What the executor emitted before it ended is in the link, also what it did not wait for.
 * - *T4* A run that exceeds a limit ends by that limit, whatever its executor makes of it; a cancel that came before wins.
 */
import type { LinkSender } from '@greenroom/bus'
import {
  greaterUsage,
  GreenroomError,
  isJson,
  jsonFlaw,
  parseEvent,
  type Clock,
  type Message,
  type Random,
  type Run,
  type RunEvent,
  type RunMessages,
  type RunRef,
  type Timer,
  waitArgs,
} from '@greenroom/proto'
import { wireEvent } from '@greenroom/proto/schemas'
import { Approvals } from './approval.ts'
import { RunChildren } from './children.ts'
import type { RunContext } from './context.ts'
import {
  completed,
  endingOf,
  failed,
  failureOf,
  readResult,
  Suspended,
  traceOf,
  usageFlaw,
  withUsage,
  type Ending,
} from './ending.ts'
import type { Executor, RunRequest } from './executor.ts'
import { harmless, harmlessBridge, harmlessChildren } from './harmless.ts'
import { asSent } from './json.ts'
import { Meter } from './meter.ts'
import { startProgram, type ProgramHost } from './program.ts'
import { Questions } from './questions.ts'
import { RunBridge } from './run-bridge.ts'
import type { RequestKind } from './runner-line.ts'
import type { Lasting } from './runner-requests.ts'
import { secretOf } from './secret.ts'
import { Spending } from './spending.ts'
import { SteeringInbox } from './steering-inbox.ts'
import { validate } from './validate.ts'
import type { WorkerPlatform } from './worker-platform.ts'

/** How many events may wait for room in the window. */
const maxWaiting = 8_192

/** What an attempt needs. */
export interface AttemptOptions {
  readonly run: Run
  readonly executor: Executor
  readonly secrets: Readonly<Record<string, string>>
  /** How long the executor may take after a cancel, in milliseconds. */
  readonly cancelGraceMs: number
  readonly clock: Clock
  readonly random: Random
  readonly platform: WorkerPlatform
  /** Stores a request in the runner's mailbox. */
  readonly ask: <K extends RequestKind>(kind: K, request: RunMessages[K], lasting: Lasting) => Promise<unknown>
}

/** See T1 to T4. */
export class Attempt {
  readonly ref: RunRef
  /** The runner's mailbox. */
  readonly replyTo: string
  readonly inbox: SteeringInbox
  readonly approvals: Approvals
  readonly children: RunChildren
  readonly bridge: RunBridge
  readonly questions: Questions
  readonly spending: Spending
  /** Resolves when the executor itself is done, be it long after the attempt has ended. */
  readonly settled: Promise<void>
  readonly #options: AttemptOptions
  readonly #settle: () => void
  readonly #cancelled = new AbortController()
  readonly #over = new AbortController()
  /** Aborts at whichever comes first. */
  readonly #stopped = AbortSignal.any([this.#cancelled.signal, this.#over.signal])
  readonly #graceOver = Promise.withResolvers<Ending>()
  readonly #pending = new Set<Promise<void>>()
  readonly #acknowledged = Promise.withResolvers<void>()
  readonly #meter: Meter
  /** How it ends because of a limit (T4). */
  #verdict: Ending | undefined
  #grace: { readonly deadline: number; readonly timer: Timer } | undefined
  #link: LinkSender | undefined
  /** Why its runner wants its worker back. */
  #leaving: string | undefined

  /** @param options - the run and what it needs */
  constructor(options: AttemptOptions) {
    const { runId, epoch, replyTo } = options.run
    this.#options = options
    this.ref = { runId, epoch }
    this.replyTo = replyTo
    this.spending = new Spending(options.run.budget)
    this.#meter = new Meter({
      limits: options.run.limits ?? {},
      clock: options.clock,
      rssMb: options.platform.rssMb,
      isWaiting: () => (this.#link?.waiting ?? 0) > 0,
      onExceeded: (ending, error) => this.#stop(ending, error),
    })
    this.inbox = new SteeringInbox({
      record: async ({ steerId, text }) => {
        await this.#emit({ type: 'message', message: { id: steerId, role: 'user', content: text } })
        this.questions.taken(steerId)
      },
      isHeldUp: () => (this.#link?.waiting ?? 0) > 0,
    })
    this.questions = new Questions({ inbox: this.inbox, signal: this.#stopped })
    this.approvals = new Approvals({
      ref: this.ref,
      clock: options.clock,
      random: options.random,
      signal: this.#stopped,
      lastSeq: () => this.#link?.lastSeq ?? 0,
      onSettled: () => this.#leave(),
      send: (request, signal) => options.ask('approval-request', request, { signal }),
    })
    this.children = new RunChildren({
      ref: this.ref,
      resumed: options.run.resumed,
      random: options.random,
      clock: options.clock,
      signal: this.#stopped,
      pause: () => this.#pause(),
      onSettled: () => this.#leave(),
      send: (request, lasting) => options.ask('children-request', request, lasting),
    })
    this.bridge = new RunBridge({
      ref: this.ref,
      run: options.run,
      random: options.random,
      clock: options.clock,
      signal: this.#stopped,
      onSettled: () => this.#leave(),
      send: (request, lasting) => options.ask('bridge-request', request, lasting),
    })
    const { promise, resolve } = Promise.withResolvers<void>()
    this.settled = promise
    this.#settle = resolve
  }

  /** The link, from the claim on. */
  get link(): LinkSender | undefined {
    return this.#link
  }

  /** Whether it was begun and has not ended. */
  get isExecuting(): boolean {
    return this.#link !== undefined && !this.#over.signal.aborted
  }

  /** Resolves at {@link Attempt.acknowledge}. */
  get acknowledged(): Promise<void> {
    return this.#acknowledged.promise
  }

  /** The runner has everything: nothing has to be kept. */
  acknowledge(): void {
    this.#acknowledged.resolve()
  }

  /**
   * Cancels it; repeating that can only shorten the grace.
   *
   * @param reason - the first one is the outcome's
   * @param graceMs - how long the executor may take, in milliseconds; the run's own at most
   */
  cancel(reason: string, graceMs = this.#options.cancelGraceMs): void {
    this.#abort(new DOMException(reason, 'AbortError'))
    const { clock, cancelGraceMs } = this.#options
    const delayMs = Math.min(graceMs, cancelGraceMs)
    const deadline = clock.monotonic() + delayMs
    if (this.#over.signal.aborted || deadline >= (this.#grace?.deadline ?? Infinity)) return
    this.#grace?.timer.cancel()
    const { signal } = this.#cancelled
    const timer = clock.timer(delayMs, () => this.#graceOver.resolve(endingOf(signal.reason, signal)))
    this.#grace = { deadline, timer }
  }

  /**
   * Its runner needs its worker: it is suspended where its executor can be, as soon as it does nothing but wait for children.
   * When it ceases to wait before that, it goes on.
   */
  suspend(reason: string): void {
    this.#leaving = reason
    this.#leave()
  }

  #leave(): void {
    const { isWaiting, waitsFor } = this.children
    if (!isWaiting) this.#leaving = undefined
    if (this.#leaving === undefined || waitsFor === undefined) return
    if (this.approvals.isAsking || this.bridge.isCalling) return
    if (!this.#options.executor.suspendable) return
    this.#graceOver.resolve({ status: 'suspended', waitsFor })
    this.#abort(new DOMException(this.#leaving, 'AbortError'))
  }

  /** It waits for children; returns what ends that. */
  #pause(): () => void {
    const goOn = this.#meter.pause()
    this.#leave()
    return goOn
  }

  /**
   * Does the work, after the claim.
   *
   * @param messages - the session so far; undefined when a part of it is missing
   * @param link - where its events go
   * @returns how it ended. Never rejects
   */
  async execute(messages: readonly Message[] | undefined, link: LinkSender): Promise<Ending> {
    this.#link = link
    this.#meter.start()
    const work = this.#work(messages).finally(this.#settle)
    const ending = await Promise.race([work, this.#graceOver.promise])
    const judged = this.#verdict ?? ending
    this.end()
    this.questions.close(judged)
    return withUsage(judged, greaterUsage(this.#meter.used, ending.usage ?? {}))
  }

  /** Ends all that is tied to it: the inbox, programs, calls that wait. */
  end(): void {
    this.#meter.stop()
    this.#grace?.timer.cancel()
    this.inbox.close()
    this.#over.abort(new GreenroomError('CLOSED', 'the run is over'))
  }

  #abort(reason: Error): void {
    if (this.#cancelled.signal.aborted) return
    this.#cancelled.abort(reason)
    this.inbox.close()
  }

  /** T4. The executor has the same grace as after a cancel. */
  #stop(ending: Ending, error: GreenroomError): void {
    if (this.#cancelled.signal.aborted) return
    this.#verdict = ending
    this.#abort(error)
    this.cancel(error.message)
  }

  async #work(messages: readonly Message[] | undefined): Promise<Ending> {
    const { executor, platform, run } = this.#options
    const { signal } = this.#cancelled
    try {
      signal.throwIfAborted()
      if (messages === undefined) return failed('SPEC_INVALID', 'a part of the history is missing')
      const input = await validate(executor.input, run.input, 'input')
      const running = executor.run(requestOf(run, input, messages), this.#context())
      this.inbox.open()
      this.questions.open()
      const returned = await running
      // What an executor makes of its programs' and calls' sudden end is half a result, not one that was faster.
      signal.throwIfAborted()
      await Promise.allSettled(this.#pending)
      const result = readResult(returned ?? {})
      const output = await validate(executor.output, result.output, 'output')
      return this.#meter.judge(completed(output, result))
    } catch (error) {
      const ending = endingOf(error, signal)
      // The stack helps whoever wrote the executor, and nobody else: it stays in this worker's log.
      if (ending.status === 'failed' && ending.error.code === 'EXECUTOR_ERROR')
        platform.log(`run ${run.runId}: ${traceOf(error)}`)
      return ending
    }
  }

  #context(): RunContext {
    const { executor, secrets, clock, platform, run } = this.#options
    const host: ProgramHost = {
      spawn: platform.spawn,
      clock,
      env: platform.env,
      workspace: run.workspace,
      signal: this.#stopped,
    }
    const { approvals, bridge, children, spending } = this
    const emit = (event: RunEvent): Promise<void> => this.#tracked(this.#emit(event))
    return {
      signal: this.#cancelled.signal,
      attempt: run.epoch,
      clock,
      emit,
      message: (message) =>
        emit({
          type: 'message',
          message: typeof message === 'string' ? { role: 'assistant', content: message } : message,
        }),
      // Who does not await it has no unhandled rejection: the limit ends the run.
      spend: (usage) => {
        const odd = usageFlaw(usage)
        if (odd === undefined) return emit({ type: 'usage', usage })
        return this.#tracked(Promise.reject(new GreenroomError('BAD_OPTIONS', `spend: ${odd}`)))
      },
      steering: this.inbox,
      approve: (call) => harmless(approvals.ask(call)),
      children: harmlessChildren(children),
      bridge: harmlessBridge(bridge),
      onAsk: (answer) => this.questions.onAsk(answer),
      resumed: run.resumed,
      get budget() {
        return spending.left
      },
      suspend: (refs = children.known, { mode = 'all' } = {}) => {
        if (approvals.isAsking) throw new GreenroomError('APPROVAL_PENDING')
        if (bridge.isCalling)
          throw new GreenroomError('BUSY', 'a tool is being called over the bridge: await that first')
        if (children.isAsking) throw new GreenroomError('BUSY', 'a question to a child is open: await its answer first')
        throw new Suspended(waitArgs('suspend', refs, mode))
      },
      secret: (name) => secretOf(name, executor, secrets, run),
      spawn: (program, args, options) => startProgram(host, program, args, options),
      fail: (code, message, options) => {
        throw failureOf({ code, message, options })
      },
      log: (message, fields) =>
        platform.log(`run ${run.runId}: ${message}${isJson(fields) ? ` ${JSON.stringify(fields)}` : ''}`),
    }
  }

  async #emit(event: RunEvent): Promise<void> {
    this.#over.signal.throwIfAborted()
    checkEvent(event)
    if ((this.#link?.waiting ?? 0) >= maxWaiting) throw this.#overrun()
    this.#meter.weigh(event)
    const sent = this.#send(event)
    const exceeded = this.#meter.note(event)
    const seq = await sent
    this.questions.told(event)
    if (exceeded !== undefined) throw exceeded
    if (event.type === 'usage') await this.spending.counted(seq, this.#stopped)
  }

  async #send(event: RunEvent): Promise<number> {
    // A cancel frees an emit that waits for room; what is emitted after it, in the grace, waits until the end (T2).
    const signal = this.#cancelled.signal.aborted ? this.#over.signal : this.#stopped
    try {
      return (await this.#link?.emit(event, { signal })) ?? 0
    } catch (error) {
      throw signal.aborted ? signal.reason : error
    }
  }

  /** An executor that does not await what it emits would go on until the memory is full. */
  #overrun(): GreenroomError {
    const error = new GreenroomError('EXECUTOR_ERROR', `${maxWaiting} events wait for room: await what you emit`)
    this.#graceOver.resolve(failed(error.code, error.message))
    this.#cancelled.abort(error)
    return error
  }

  /** Remembers a call for T3; also harmless. */
  #tracked(call: Promise<void>): Promise<void> {
    const forget = (): void => void this.#pending.delete(call)
    this.#pending.add(call)
    void call.then(forget, forget)
    return call
  }
}

/** What the runner could not read would never be acknowledged, and hold up all that follows. */
function checkEvent(event: RunEvent): void {
  const flaw = jsonFlaw(event, 'event')
  if (flaw !== undefined) throw new GreenroomError('BAD_FRAME', flaw)
  const { success, data } = wireEvent.safeParse(event)
  if (!success) throw new GreenroomError('BAD_FRAME', 'the event has no type of at most 128 characters')
  try {
    parseEvent(data)
  } catch {
    // Properties that are undefined do not count; this is the slow way to see it.
    parseEvent(wireEvent.parse(asSent(event)))
  }
}

function requestOf(run: Run, input: unknown, messages: readonly Message[]): RunRequest {
  return {
    input,
    task: run.task,
    messages,
    workspace: run.workspace,
    model: run.model,
    limits: run.limits ?? {},
    attempt: run.epoch,
    posture: run.posture ?? {},
    disabledTools: run.disabledTools ?? [],
    mcpServers: run.mcpServers ?? [],
  }
}
