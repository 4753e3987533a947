/** What an executor may do while it runs. */
import type {
  Bridge,
  Budget,
  ChildId,
  ChildOutcome,
  Clock,
  JsonObject,
  JsonValue,
  Message,
  Retry,
  RunEvent,
  SteerMode,
  Usage,
  WaitMode,
} from '@greenroom/proto'
import type { ApprovalAnswer, ApprovalCall } from './approval.ts'
import type { ExecutorChildren } from './children.ts'
import type { AnswerQuestion } from './questions.ts'
import type { Program, ProgramOptions } from './program.ts'

/** A text that arrived while the run was in progress. */
export interface SteeringText {
  /** What was said. */
  readonly text: string
  /** When to take it up: at the next safe point (`now`), or when the run would end (`queue`). */
  readonly mode: SteerMode
}

/** An executor's hand on its run. All of it ends with the run: later calls do nothing or reject. What nobody awaits crashes nothing. */
export interface RunContext {
  /** Aborts when the run is cancelled; the executor then has the cancel grace to finish. */
  readonly signal: AbortSignal
  /** 1 for the first attempt; grows with every further one. */
  readonly attempt: number
  /** The worker's clock: what waits by it can be tested without waiting. */
  readonly clock: Clock
  /**
   * Tells an event. Waits while the window is full, so that a slow reader slows the executor down: await it. What is not
   * waited for is kept in memory; a run that lets 8,192 events wait ends as `EXECUTOR_ERROR`.
   *
   * @throws the reason of {@link RunContext.signal} when it aborts while this waits for room, and once the run is over;
   * GreenroomError `BAD_FRAME` for an event that is not JSON, has no type, or is of a type of {@link RunEvent} and not shaped
   * as that (one of another type goes out as it is: readers of a later version may know it), `FRAME_TOO_LARGE`, `LIMIT_OUTPUT`
   */
  readonly emit: (event: RunEvent) => Promise<void>
  /**
   * Adds a message to the transcript.
   *
   * @param message - the message, or the text of one by the assistant
   */
  readonly message: (message: string | Message) => Promise<void>
  /**
   * Says what was used since the last call, as a `usage` entry. When that is more than the run's limits allow, the run
   * ends as failed, whatever the executor makes of it: its signal aborts, and it has the cancel grace to finish. Where the run
   * draws on a budget this waits until its runner has counted it: await it before the next call, and no call is made that a
   * budget does not cover any more.
   *
   * @param usage - what to add to what was told before
   * @throws GreenroomError `BAD_OPTIONS`, `LIMIT_ROUNDS`, `LIMIT_TOKENS`, `LIMIT_COST`; the reason of {@link RunContext.signal}
   * when a budget is used up; and what {@link RunContext.emit} throws
   */
  readonly spend: (usage: Usage) => Promise<void>
  /**
   * What was left of the budgets that the run draws on, its own and its ancestors', when the runner last said so: at its
   * beginning, then at each {@link RunContext.spend}. What is absent is unlimited; undefined when all is, or it is detached.
   */
  readonly budget: Budget | undefined
  /**
   * Texts that were sent to the run, in order. What is taken here is in the transcript, as a message of the user; what
   * is not taken before the run ends is put there by the runner, for the session's next run. The sender is told
   * `delivered` when this was waiting for it, else `queued`. Ends with the run, or when it is cancelled; leaving it
   * (`break`, `return()`) waits for nothing.
   */
  readonly steering: AsyncIterable<SteeringText>
  /**
   * Asks whether something may be done, and waits for the decision. Everything that fails denies; several may be asked at
   * a time. While it waits the run's times but the total one stand still.
   *
   * @param call - what is to be done
   * @returns `allowed`, with the input that may be used: what was asked, or what the decider made of it; or why not
   * @throws GreenroomError `BAD_OPTIONS`; the reason of {@link RunContext.signal} when it aborts meanwhile, and once the
   * run is over
   *
   * @example
   * ```ts
   * import { defineExecutor } from '@greenroom/worker'
   *
   * export const tag = defineExecutor({
   *   version: '1',
   *   async run({ workspace }, ctx) {
   *     const answer = await ctx.approve({ tool: 'git', permission: 'execute', resource: workspace, input: ['tag', 'v1'] })
   *     if (!answer.allowed) return ctx.fail('DENIED', answer.reason)
   *     await ctx.spawn('git', answer.input, { cwd: workspace }).exited
   *     return {}
   *   },
   * })
   * ```
   */
  readonly approve: <Input extends JsonValue>(call: ApprovalCall<Input>) => Promise<ApprovalAnswer<Input>>
  /**
   * The run's children: runs of the runner's other roles, with workers of their own.
   *
   * @example
   * ```ts
   * import { defineExecutor } from '@greenroom/worker'
   *
   * export const review = defineExecutor({
   *   version: '1',
   *   async run({ task }, ctx) {
   *     const refs = await Promise.all(['style', 'safety'].map((key) => ctx.children.spawn({ role: 'critic', task, key })))
   *     const ended = await ctx.children.wait(refs)
   *     return { text: ended.map(({ outcome }) => (outcome.status === 'completed' ? outcome.text : outcome.status)).join('\n') }
   *   },
   * })
   * ```
   */
  readonly children: ExecutorChildren
  /**
   * Tools of MCP servers that stay beside the runner, wherever this worker is: those that the run's role allows
   * (`roles.….bridge`). The runner decides what may be called, by the role that it gave the run.
   *
   * @example
   * ```ts
   * import { defineExecutor } from '@greenroom/worker'
   *
   * export const look = defineExecutor({
   *   version: '1',
   *   async run(_request, ctx) {
   *     for (const tool of await ctx.bridge.list()) ctx.log(`${tool.server}.${tool.name}: ${tool.description ?? ''}`)
   *     const { content, isError = false } = await ctx.bridge.call({ server: 'screen', name: 'shot' }, { window: 'editor' })
   *     return isError ? ctx.fail('NO_PICTURE', JSON.stringify(content)) : { output: content }
   *   },
   * })
   * ```
   */
  readonly bridge: Bridge
  /**
   * Answers what the run is asked beside its work (`children.ask`, `run.ask`, mode `query`), as long as its attempt lasts:
   * several questions at a time, each on its own. Without it they are refused with `ASK_UNSUPPORTED`, so call it before
   * waiting for anything. One handler at a time.
   *
   * @param answer - gives the answer. What it throws is one, too
   * @returns ends that
   * @throws GreenroomError `BAD_OPTIONS`
   *
   * @example
   * ```ts
   * import { defineExecutor } from '@greenroom/worker'
   *
   * export const count = defineExecutor({
   *   version: '1',
   *   async run(_request, ctx) {
   *     let done = 0
   *     ctx.onAsk(() => `${done} of 100`)
   *     for (; done < 100; done += 1) await ctx.emit({ type: 'data', name: 'done', data: done })
   *     return { text: 'all of them' }
   *   },
   * })
   * ```
   */
  readonly onAsk: (answer: AnswerQuestion) => Disposable
  /**
   * Ends this attempt so that the run waits for its children without a worker: throws, and so never returns. When they have
   * ended the executor is called again, with {@link RunContext.resumed}, an `attempt` that is one more, and what it said in
   * `messages`. What it has beside that is gone: names of children (keys) and what has been done must follow from these.
   * What was sent to the run meanwhile arrives then.
   *
   * @param refs - the children. = all that this attempt spawned or was resumed with
   * @param options - `mode`: until when to wait. = `all`
   * @throws GreenroomError `APPROVAL_PENDING` while it waits for a decision, `BUSY` while it calls a tool over the bridge, `BAD_OPTIONS`
   *
   * @example
   * ```ts
   * import { defineExecutor } from '@greenroom/worker'
   *
   * export const plan = defineExecutor({
   *   version: '1',
   *   async run({ task }, ctx) {
   *     if (ctx.resumed === undefined) {
   *       for (const key of ['build', 'test']) await ctx.children.spawn({ role: 'doer', task: `${key}: ${task}`, key })
   *       return ctx.suspend()
   *     }
   *     return { text: ctx.resumed.map(({ key, outcome }) => `${key} ${outcome.status}`).join(', ') }
   *   },
   * })
   * ```
   */
  readonly suspend: (refs?: readonly ChildId[], options?: { readonly mode?: WaitMode }) => never
  /** How the children ended that this run was suspended for; undefined when it was not. */
  readonly resumed: readonly ChildOutcome[] | undefined
  /**
   * A declared secret's value.
   *
   * @param name - as in the executor's `secrets`
   * @throws GreenroomError `SECRET_UNDECLARED` when the executor does not declare it, `SECRET_MISSING` when the role does
   * not name it; the message says what to add where
   */
  readonly secret: (name: string) => string
  /**
   * Starts a program that ends with the run: its whole process group gets TERM, then KILL, when the run is cancelled or
   * over, and when this worker dies, even by `kill -9`. What leaves the group on purpose (`setsid`) is out of reach.
   *
   * @param program - a name to look up in `PATH`, or a path; never read as a script
   * @param args - its arguments
   * @param options - environment, folder
   * @returns at once; whether it could be started is told by {@link Program.exited}
   */
  readonly spawn: (program: string, args?: readonly string[], options?: ProgramOptions) => Program
  /**
   * Ends the run as failed: throws, and so never returns. `return ctx.fail(…)` tells the compiler so. What is wrong with its
   * arguments is said behind the message; without a code the run fails with `EXECUTOR_ERROR`.
   *
   * @param code - one of the error table or of the executor's own, in capitals
   * @param message - what a person needs to know
   * @param options - `retry`: whether trying again may help; `never` by default
   */
  readonly fail: (code: string, message: string, options?: { readonly retry?: Retry }) => never
  /**
   * Writes a line to the worker's log, its standard error.
   *
   * @param message - what happened
   * @param fields - facts, as JSON behind the message
   */
  readonly log: (message: string, fields?: JsonObject) => void
}
