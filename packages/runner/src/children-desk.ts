/**
 * What one attempt asks about its run's children, and is answered.
 *
 * - *D1* Each request is dealt with once, however often it comes, and answered whatever becomes of it.
 * - *D2* While it waits for children, or for what they answer, its run does not execute: it gives its permit back, and has it again before it is
 *   answered. One that waits several times at once does so until the last of them is answered.
 * - *D3* Who waits for what has ended by then does not wait: were its place another's now, two could put each other out for ever.
 */
import {
  GreenroomError,
  type ApprovalAnswer,
  type ApprovalAsk,
  type AskArgs,
  type ChildOutcome,
  type ChildrenCall,
  type ChildrenRequest,
  type ChildrenResult,
  type RunRef,
  type WaitArgs,
} from '@greenroom/proto'
import type { Approval, Verdict } from './approval/index.ts'
import type { Attempt } from './drive/index.ts'
import { failureOf } from './ending.ts'
import type { PermitHolder } from './permit-holder.ts'
import type { PlacedWorker } from './placement/index.ts'
import type { Places } from './places.ts'
import { whyNoChildren, type Plan } from './plan.ts'
import type { Occupant } from './room-maker.ts'
import type { RunChildren } from './run-children.ts'

/** What a desk is made of. */
export interface ChildrenDeskOptions {
  /** The run. */
  readonly id: string
  /** Its worker. */
  readonly worker: PlacedWorker
  /** Whether its executor can be suspended. */
  readonly isSuspendable: () => boolean
  /** Called when it begins to wait: its place may be wanted. */
  readonly onWait: () => void
  /** Asks its worker to suspend it. */
  readonly onLeave: () => void
  /** Puts an approval to its executor. */
  readonly ask: (approval: Approval, signal: AbortSignal) => Promise<Verdict | undefined>
  /** Undefined: none. */
  readonly children: RunChildren | undefined
  /** Why there are none to be; undefined when there may be. */
  readonly whyNone: GreenroomError | undefined
  /** Its run stops executing; returns what has it go on, which resolves when it may. */
  readonly pause: () => () => Promise<void>
  /** Sends an answer. */
  readonly answer: (result: Omit<ChildrenResult, keyof RunRef>) => void
}

type Answer = Pick<ChildrenResult, 'childId' | 'status' | 'children' | 'answer' | 'listed'>

/** What the desk of an attempt is made of. */
export interface AttemptDeskOptions {
  /** Its run's; undefined: none. */
  readonly children: RunChildren | undefined
  readonly plan: Pick<Plan, 'assignment'>
  readonly worker: PlacedWorker
  /** Asks. */
  readonly attempt: Pick<Attempt, 'ref' | 'waits' | 'answer' | 'ask' | 'suspend' | 'ended'>
  /** What it executes by. */
  readonly permit: Pick<PermitHolder, 'pause'>
  /** When it begins to wait, whoever finds no room looks again: its place may be to be had. */
  readonly places: Pick<Places, 'noteRoom'>
}

/**
 * Opens the desk of an attempt, until that ends.
 *
 * @param options - see {@link AttemptDeskOptions}
 */
export function openDesk({ children, plan, worker, attempt, permit, places }: AttemptDeskOptions): ChildrenDesk {
  const { assignment } = plan
  const desk = new ChildrenDesk({
    id: attempt.ref.runId,
    children,
    whyNone: whyNoChildren(assignment),
    worker,
    isSuspendable: () => worker.serves?.find(({ name }) => name === assignment.executor)?.suspendable === true,
    pause() {
      const [waited, goOn] = [attempt.waits('children'), permit.pause()]
      return () => {
        const going = goOn()
        // Who waits for its worker may have the permit that it waits for.
        places.noteRoom()
        return going.finally(waited)
      }
    },
    answer: (result) => attempt.answer('children-result', result),
    ask: async (approval, signal) => verdictOf(await attempt.ask(askOf(approval), signal)),
    onWait: () => places.noteRoom(),
    onLeave: () => attempt.suspend('its worker is needed for another run'),
  })
  void attempt.ended.then(() => desk.close())
  return desk
}

/** See D1 and D2. */
export class ChildrenDesk implements Occupant {
  readonly #options: ChildrenDeskOptions
  readonly #known = new Set<string>()
  /** By its request: what gives a wait or a question up. */
  readonly #open = new Map<string, AbortController>()
  /** For what it waits by now, by its request; undefined for an answer. */
  readonly #waits = new Map<string, WaitArgs | undefined>()
  /** Whom its questions are to, by request: with an open one an attempt cannot be suspended. */
  readonly #asked = new Map<string, string>()
  #isLeaving = false
  #isDeciding = false
  #isClosed = false

  /** @param options - see {@link ChildrenDeskOptions} */
  constructor(options: ChildrenDeskOptions) {
    this.#options = options
  }

  /** Deals with a request. */
  take(request: ChildrenRequest): void {
    const { requestId } = request
    if (this.#isClosed || this.#known.has(requestId)) return
    this.#known.add(requestId)
    this.#deal(requestId, request).then(
      (given) => this.#options.answer({ requestId, ...given }),
      (error: unknown) => this.#options.answer({ requestId, error: failureOf(error) }),
    )
  }

  get id(): string {
    return this.#options.id
  }

  /** Whether its attempt has not ended. */
  get isOpen(): boolean {
    return !this.#isClosed
  }

  get worker(): PlacedWorker {
    return this.#options.worker
  }

  get waits(): boolean | 'leaving' {
    if (this.#waits.size === 0) return false
    return this.#isLeaving && this.#isOneWait ? 'leaving' : true
  }

  get isSuspendable(): boolean {
    return this.#asked.size === 0 && this.#isOneWait && this.#options.isSuspendable()
  }

  get asks(): readonly string[] {
    return this.#options.isSuspendable() ? [...this.#asked.values()] : []
  }

  get awaits(): readonly string[] {
    return [...[...this.#waits.values()].flatMap((wait) => wait?.runIds ?? []), ...this.#asked.values()]
  }

  /** What it waits for can be said as one thing: only then its worker suspends it. */
  get #isOneWait(): boolean {
    return this.#waits.size < 2 || [...this.#waits.values()].every((wait) => wait?.mode === 'all')
  }

  suspend(): void {
    this.#isLeaving = true
    this.#options.onLeave()
  }

  /** Puts an approval of a descendant to its executor; undefined when that does not decide on it. */
  ask(approval: Approval, signal: AbortSignal): Promise<Verdict | undefined> {
    return this.#isDeciding ? this.#options.ask(approval, signal) : Promise.resolve(undefined)
  }

  /** Its attempt has ended: nobody waits any more. */
  close(): void {
    this.#isClosed = true
    for (const abort of this.#open.values()) abort.abort()
  }

  async #deal(requestId: string, { op, args }: ChildrenCall): Promise<Answer> {
    const { children, whyNone } = this.#options
    if (whyNone !== undefined || children === undefined) throw whyNone ?? new GreenroomError('CLOSED')
    switch (op) {
      case 'spawn':
        return { childId: (await children.spawn(args)).runId }
      case 'wait':
        return { children: await this.#wait(children, requestId, args) }
      case 'ask':
        return { answer: await this.#ask(children, requestId, args) }
      case 'unwait':
        this.#open.get(args.requestId)?.abort()
        return {}
      case 'decide':
        this.#isDeciding = args.on
        return {}
      case 'send':
        return { status: await children.sendAtOnce(args, args.text, { mode: args.mode }) }
      case 'cancel':
        await children.cancel(args, args.reason)
        return {}
      case 'list':
        return { listed: await children.list() }
    }
  }

  #wait(children: RunChildren, requestId: string, args: WaitArgs): Promise<readonly ChildOutcome[]> {
    const { runIds, mode } = args
    const refs = runIds.map((runId) => ({ runId }))
    return this.#abortable(requestId, async (signal) => {
      const wait = (): Promise<readonly ChildOutcome[]> => children.wait(refs, { mode, signal })
      // D3
      return (await children.isOver(args)) ? wait() : this.#pausing(requestId, wait, args)
    })
  }

  async #ask(children: RunChildren, requestId: string, { question, ...args }: AskArgs): Promise<string> {
    this.#asked.set(requestId, args.runId)
    // What it was asked before it leaves: it stays.
    this.#isLeaving = false
    try {
      const { mode, timeoutMs } = args
      return await this.#abortable(requestId, (signal) =>
        this.#pausing(requestId, () => children.ask(args, question, { mode, timeoutMs, signal })),
      )
    } finally {
      this.#asked.delete(requestId)
      // What it still waits for may have no place but its own, which nobody could have asked it for meanwhile.
      if (this.#waits.size > 0) this.#options.onWait()
    }
  }

  /** What it is to do can be given up. */
  async #abortable<T>(requestId: string, act: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const abort = new AbortController()
    this.#open.set(requestId, abort)
    try {
      return await act(abort.signal)
    } finally {
      this.#open.delete(requestId)
    }
  }

  /** D2 */
  async #pausing<T>(requestId: string, wait: () => Promise<T>, args?: WaitArgs): Promise<T> {
    const { pause, onWait } = this.#options
    this.#waits.set(requestId, args)
    const goOn = pause()
    onWait()
    try {
      return await wait()
    } finally {
      this.#waits.delete(requestId)
      // It was asked too late: its wait is over.
      if (this.#waits.size === 0) this.#isLeaving = false
      await goOn()
    }
  }
}

function askOf({
  id,
  runId,
  epoch,
  path,
  tool,
  permission,
  resource,
  input,
  deadline,
}: Approval): Omit<ApprovalAsk, keyof RunRef> {
  const ask = { requestId: id, from: { runId, epoch }, path, tool, permission, resource, input }
  return deadline === null ? ask : { ...ask, deadline }
}

/** Undefined when it hands on, or is no more. */
function verdictOf(answer: ApprovalAnswer | undefined): Verdict | undefined {
  if (answer === undefined || answer.answer === 'pass') return undefined
  const { reason, input, scope } = answer
  return {
    allow: answer.answer === 'allow',
    ...(reason === undefined ? {} : { reason }),
    ...(input === undefined ? {} : { input }),
    ...(scope === undefined ? {} : { scope }),
  }
}
