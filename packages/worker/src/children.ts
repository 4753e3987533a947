/**
 * The children of one run: each call is a request to its runner, who owns every run, and waits for the answer.
 *
 * - *C1* A wait, or a question, that is given up has ended for the runner, too, before its caller goes on.
 */
import {
  budgetFlaw,
  childIdOf,
  GreenroomError,
  jsonFlaw,
  namesFlaw,
  readAsk,
  waitArgs,
  withinDeadline,
  type ApprovalAnswer,
  type ApprovalAsk,
  type AskOptions,
  type ChildId,
  type ChildOutcome,
  type ChildRef,
  type Children,
  type ChildrenCall,
  type ChildrenResult,
  type ChildSpec,
  type ChildStatus,
  type Clock,
  type Random,
  type SteerMode,
  type SteerReceipt,
  type WaitArgs,
  type WaitMode,
} from '@greenroom/proto'
import { answerFor, type DecideForChildren } from './child-approvals.ts'
import { insist } from './pause.ts'
import { RunnerRequests, type RunnerRequestsOptions } from './runner-requests.ts'

/** The children of an executor's run. */
export interface ExecutorChildren extends Children {
  /**
   * Decides on what the run's descendants ask (`ctx.approve`), as long as its attempt lasts: the nearest ancestor that
   * decides is asked before a person is, after the runner's own reviewer and policy. One decider at a time.
   *
   * @param decide - answers; undefined hands on to the next ancestor, then to a person. What it throws denies
   * @returns ends that
   * @throws GreenroomError `BAD_OPTIONS`
   */
  onApproval(decide: DecideForChildren): Disposable
}

/** What the children of a run need of it. */
export interface RunChildrenOptions extends RunnerRequestsOptions<ChildrenCall> {
  /** Those that it waited for when it was suspended. */
  readonly resumed: readonly ChildOutcome[] | undefined
  /** Names requests, and children that have no key. */
  readonly random: Random
  readonly clock: Clock
  /** Called when it waits for children, and with what is to be called when it does so no more. */
  readonly pause: () => () => void
  /** Called when it waits for one thing less. */
  readonly onSettled: () => void
}

/** See C1. */
export class RunChildren implements ExecutorChildren {
  readonly #options: RunChildrenOptions
  readonly #requests: RunnerRequests<ChildrenCall, ChildrenResult>
  #decide: DecideForChildren | undefined
  /** For whom it waits, by request. */
  readonly #waits = new Map<string, WaitArgs>()
  /** Resolves when the runner knows whether it decides: no child is started before. */
  #said: Promise<unknown> = Promise.resolve()
  /** How many of its questions are open. */
  #asking = 0
  /** In the order in which it learned of them. */
  readonly #known = new Set<string>()

  /** @param options - see {@link RunChildrenOptions} */
  constructor(options: RunChildrenOptions) {
    this.#options = options
    this.#requests = new RunnerRequests<ChildrenCall, ChildrenResult>(options)
    for (const { runId } of options.resumed ?? []) this.#known.add(runId)
  }

  /** Whether it waits for any. */
  get isWaiting(): boolean {
    return this.#waits.size > 0
  }

  /** Whether it waits for an answer. */
  get isAsking(): boolean {
    return this.#asking > 0
  }

  /** What it waits for; undefined when for nothing, or when that is not one thing that can be said. */
  get waitsFor(): WaitArgs | undefined {
    if (this.#asking > 0) return undefined
    const waits = [...this.#waits.values()]
    const [first] = waits
    if (waits.length < 2) return first
    if (waits.some(({ mode }) => mode !== 'all')) return undefined
    return { runIds: [...new Set(waits.flatMap(({ runIds }) => runIds))], mode: 'all' }
  }

  /** Those that this attempt knows. */
  get known(): readonly ChildId[] {
    return [...this.#known].map((runId) => ({ runId }))
  }

  async spawn(spec: ChildSpec): Promise<ChildRef> {
    const { random } = this.#options
    if (typeof spec !== 'object' || spec === null) throw bad('spawn: its argument must be an object')
    checkNames('spawn', spec, ['role', 'task', 'input', 'key', 'budget'])
    const { role, task, input, key = random.id(), budget } = spec
    for (const [name, value] of Object.entries({ role, task, key }))
      if (value !== undefined && typeof value !== 'string') throw bad(`spawn: ${name} must be a text`)
    if (role === undefined) throw bad('spawn: role must be a text')
    const flaw = input === undefined ? undefined : jsonFlaw(input, 'input')
    if (flaw !== undefined) throw new GreenroomError('INPUT_INVALID', flaw)
    const unbudgeted = budget === undefined ? undefined : budgetFlaw('spawn: budget', budget)
    if (unbudgeted !== undefined) throw bad(unbudgeted)
    const order = {
      role,
      key,
      ...(task === undefined ? {} : { task }),
      ...(input === undefined ? {} : { input }),
      ...(budget && { budget }),
    }
    await this.#said
    const { childId } = await this.#request(random.id(), { op: 'spawn', args: order })
    if (childId === undefined) throw new GreenroomError('INTERNAL', 'the runner named no child')
    this.#known.add(childId)
    return { runId: childId, key }
  }

  async wait(
    refs: readonly ChildId[],
    options: { readonly mode?: WaitMode; readonly signal?: AbortSignal } = {},
  ): Promise<readonly ChildOutcome[]> {
    checkNames('wait', options, ['mode', 'signal'])
    const { mode = 'all', signal } = options
    if (signal?.aborted === true) throw new GreenroomError('ABORTED')
    const args = waitArgs('children.wait', refs, mode)
    const requestId = this.#options.random.id()
    this.#waits.set(requestId, args)
    try {
      const { children = [] } = await this.#pausing(requestId, { op: 'wait', args }, signal)
      return children
    } finally {
      this.#waits.delete(requestId)
      this.#options.onSettled()
    }
  }

  async ask(ref: ChildId, question: string, options: AskOptions = {}): Promise<string> {
    const { clock, random } = this.#options
    const asked = readAsk(question, options)
    const { mode, timeoutMs } = asked
    const args = { runId: childIdOf(ref), question, mode, timeoutMs }
    this.#asking += 1
    try {
      return await withinDeadline(clock, asked, async (signal) => {
        const { answer } = await this.#pausing(random.id(), { op: 'ask', args }, signal)
        if (answer === undefined) throw new GreenroomError('INTERNAL', 'the runner gave no answer')
        return answer
      })
    } finally {
      this.#asking -= 1
      this.#options.onSettled()
    }
  }

  async send(ref: ChildId, text: string, options: { readonly mode?: SteerMode } = {}): Promise<SteerReceipt['status']> {
    checkNames('send', options, ['mode'])
    const { mode = 'now' } = options
    if (typeof text !== 'string') throw bad('send: text must be a text')
    if (mode !== 'now' && mode !== 'queue') throw bad("send: mode must be 'now' or 'queue'")
    const { status } = await this.#request(this.#options.random.id(), {
      op: 'send',
      args: { runId: childIdOf(ref), text, mode },
    })
    return status ?? 'not-live'
  }

  async cancel(ref: ChildId, reason?: string): Promise<void> {
    const args = { runId: childIdOf(ref), ...(reason === undefined ? {} : { reason: String(reason) }) }
    await this.#request(this.#options.random.id(), { op: 'cancel', args })
  }

  async list(): Promise<readonly ChildStatus[]> {
    return (await this.#request(this.#options.random.id(), { op: 'list', args: {} })).listed ?? []
  }

  onApproval(decide: DecideForChildren): Disposable {
    if (typeof decide !== 'function') throw bad('onApproval: its argument must be a function')
    this.#decide = decide
    const { clock, random, signal } = this.#options
    const say = (on: boolean): void => {
      const id = random.id()
      const tell = (): Promise<unknown> => this.#request(id, { op: 'decide', args: { on } })
      // One after the other: of a yes and a no the last is meant.
      this.#said = this.#said.then(() => insist(clock, signal, tell)).catch(() => undefined)
    }
    say(true)
    return {
      [Symbol.dispose]: () => {
        if (this.#decide !== decide) return
        this.#decide = undefined
        say(false)
      },
    }
  }

  /** A descendant asks for an approval. */
  asked(ask: ApprovalAsk): Promise<ApprovalAnswer> {
    return answerFor(this.#decide, ask, this.#options.signal)
  }

  /** An answer came. */
  answered(result: ChildrenResult): void {
    this.#requests.answered(result)
  }

  /** C1; its run does not execute meanwhile. */
  async #pausing(requestId: string, call: ChildrenCall, signal: AbortSignal | undefined): Promise<ChildrenResult> {
    const { clock, random, signal: over } = this.#options
    // Who gave up waits for this to be heard.
    const id = random.id()
    const unwait = (): Promise<unknown> => this.#request(id, { op: 'unwait', args: { requestId } })
    const giveUp = (): void => void insist(clock, over, unwait).catch(() => undefined)
    signal?.addEventListener('abort', giveUp, { once: true })
    const goOn = this.#options.pause()
    try {
      return await this.#request(requestId, call)
    } finally {
      goOn()
      signal?.removeEventListener('abort', giveUp)
    }
  }

  #request(requestId: string, call: ChildrenCall): Promise<ChildrenResult> {
    return this.#requests.request(requestId, call)
  }
}

const bad = (message: string): GreenroomError => new GreenroomError('BAD_OPTIONS', `children.${message}`)

/** @throws GreenroomError `BAD_OPTIONS` */
function checkNames(field: string, given: object, known: readonly string[]): void {
  const flaw = namesFlaw(field, given, known)
  if (flaw !== undefined) throw bad(flaw)
}
