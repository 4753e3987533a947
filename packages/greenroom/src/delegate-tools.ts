/**
 * Tools by which a model starts and leads children.
 *
 * - *T1* Only roles that are listed can be started, and only children in these roles are seen: any other does not exist.
 * - *T2* What goes wrong is a result with a code and words that a model can act on, never an exception.
 * - *T3* No call waits for longer than `waitMs`: what is still running then is said, and goes on; a question is given up.
 */
import {
  codeOf,
  errors,
  GreenroomError,
  isErrorCode,
  namesFlaw,
  systemClock,
  type ChildOutcome,
  type Children,
  type ChildStatus,
  type Clock,
  type JsonObject,
} from '@greenroom/proto'
import { z } from 'zod'
import type { AskInput, AwaitInput, CancelInput, ListInput, SendInput, SpawnInput } from './delegate-input.ts'
import { checkInput, checkRoles, inputOf, type DelegateRoles } from './delegate-role.ts'

/** How long one call waits: less than the 60 s after which MCP clients give a call up. */
const defaultWaitMs = 45_000

/** The longest that a question may wait, whatever `waitMs` says. */
const longestAskMs = 300_000

/** Characters of a child's words, and of its output as JSON: what does not fit a model's attention is cut. */
const maxShown = 20_000

/** How many children `list` shows. */
const maxListed = 100

/** What {@link delegateTools} may be told. */
export interface DelegateOptions {
  /** How long one `await`, or `ask`, waits at most, in milliseconds. = 45,000 */
  readonly waitMs?: number
  /** = the system's */
  readonly clock?: Clock
}

/** What a call comes with, as the AI SDK hands it in. */
export interface ToolCallOptions {
  /** Ends the waiting, and nothing else: children go on. */
  readonly abortSignal?: AbortSignal | undefined
}

/** What a tool answers: JSON for a model. Of an error it is `{ error: { code, message, retry } }`. */
export type DelegateResult = JsonObject

/** A tool as the AI SDK takes it; its schema is a Standard Schema, and can be said as JSON Schema. */
export interface DelegateTool<Input> {
  /** What it does: for the model. */
  readonly description: string
  /** What it takes. */
  readonly inputSchema: z.ZodType<Input, Input>
  /** Does it. Never rejects. */
  readonly execute: (input: Input, options?: ToolCallOptions) => Promise<DelegateResult>
}

/** The tools, under the names by which a model calls them. */
export type DelegateTools = {
  /** Starts a child. */
  readonly spawn: DelegateTool<SpawnInput>
  /** Says something to one. */
  readonly send: DelegateTool<SendInput>
  /** Asks one, and waits for its answer. */
  readonly ask: DelegateTool<AskInput>
  /** Waits for some. */
  readonly await: DelegateTool<AwaitInput>
  /** Ends one. */
  readonly cancel: DelegateTool<CancelInput>
  /** Tells which there are. */
  readonly list: DelegateTool<ListInput>
}

/**
 * Tools by which a model starts children, says something to them, asks them, waits for them, ends and lists them: as `tools` of an agent
 * of the AI SDK (`ai` 5 or newer), which is not imported. Nothing they do throws: a model is answered `{ error: { code, message } }`.
 *
 * @param children - whose: `runner.children` in a program, `ctx.children` in an executor
 * @param roles - which roles the model may start, and what it is told of them
 * @param options - see {@link DelegateOptions}
 * @throws GreenroomError `BAD_OPTIONS`
 *
 * @example
 * ```ts
 * import { createRunner } from 'greenroom'
 * import { delegateTools } from 'greenroom/tools'
 *
 * await using runner = await createRunner({
 *   worker: new URL('./worker.ts', import.meta.url),
 *   roles: { reviewer: { executor: 'review' } },
 * })
 * const tools = delegateTools(runner.children, { reviewer: { description: 'Reviews a change; give it the diff as task' } })
 * // new ToolLoopAgent({ model, tools })
 * console.log(await tools.spawn.execute({ role: 'reviewer', task: 'Review the parser' }))
 * ```
 */
export function delegateTools(children: Children, roles: DelegateRoles, options: DelegateOptions = {}): DelegateTools {
  checkRoles('roles', roles)
  const odd = namesFlaw('options', options, ['waitMs', 'clock'])
  if (odd !== undefined) throw new GreenroomError('BAD_OPTIONS', odd)
  const { waitMs = defaultWaitMs, clock = systemClock } = options
  if (!Number.isFinite(waitMs) || waitMs < 0)
    throw new GreenroomError('BAD_OPTIONS', 'waitMs must be a number of milliseconds')
  const desk = new DelegateDesk(children, roles, waitMs, clock)
  const runId = z.string().describe('The child: a runId that spawn or list gave')
  return {
    spawn: spawnTool(desk, roles),
    send: tool(
      'Says something to a child that runs. It answers at once: "delivered" (it was listening), "queued" (it gets it when it asks next), or "not-live" (it is over).',
      z.strictObject({
        runId,
        text: z.string(),
        mode: z
          .enum(['now', 'queue'])
          .optional()
          .describe('now: as soon as it can take it up; queue: when it would be done. = now'),
      }),
      (input) => desk.send(input),
    ),
    ask: askTool(desk, runId, waitMs),
    await: tool(
      `Waits for children and tells how they ended. It waits for at most ${waitMs / 1_000} seconds; those that are still running then are in "running": call it again for them.`,
      z.strictObject({
        runIds: z.array(z.string()).min(1).describe('The children: runIds that spawn or list gave'),
        mode: z
          .enum(['all', 'any', 'first-error'])
          .optional()
          .describe(
            'all: until all have ended; any: until one has; first-error: until one did not complete, else all. = all',
          ),
        waitSeconds: z.number().min(0).optional().describe('How long to wait; 0: only look. = as long as it may'),
      }),
      (input, signal) => desk.await(input, signal),
    ),
    cancel: tool(
      'Ends a child, and with it its own children. Afterwards await tells how it ended.',
      z.strictObject({ runId, reason: z.string().optional().describe('Why') }),
      (input) => desk.cancel(input),
    ),
    list: tool(
      'Lists your children, oldest first, with their roles and whether they run or how they ended.',
      z.strictObject({}),
      () => desk.list(),
    ),
  }
}

function askTool(desk: DelegateDesk, runId: z.ZodString, waitMs: number): DelegateTool<AskInput> {
  return tool(
    `Asks a child something and gives its answer: how far it is, what it found, also after it has ended. It waits for at most ${waitMs / 1_000} seconds. Only some kinds of children answer (else ASK_UNSUPPORTED).`,
    z.strictObject({
      runId,
      question: z.string(),
      mode: z
        .enum(['query', 'steer'])
        .optional()
        .describe(
          'query: beside its work, which goes on unchanged; steer: as part of its conversation, so that it takes it up. = query',
        ),
      waitSeconds: z.number().positive().optional().describe('How long to wait for the answer. = as long as it may'),
    }),
    (input, signal) => desk.ask(input, signal),
  )
}

function spawnTool(desk: DelegateDesk, roles: DelegateRoles): DelegateTool<SpawnInput> {
  const { schema, words } = inputOf(roles)
  const known = Object.entries(roles).map(([name, { description }]) => `- ${name}: ${description}`)
  return tool(
    [
      'Starts a child: an agent with a process of its own that works while you go on. It gives its runId; await tells how it ended. Children run side by side: start all first, then await them. The roles are:',
      ...known,
      ...(words === '' ? [] : [words]),
    ].join('\n'),
    z.strictObject({
      role: z.string().meta({ enum: Object.keys(roles) }),
      task: z.string().optional().describe('What to do, in words: the child knows nothing else of what you know'),
      input: z
        .unknown()
        .optional()
        .meta({ ...schema, description: 'What to do, as the role takes it' }),
      key: z
        .string()
        .optional()
        .describe('Names the child for you: the same key again is the same child, not another one'),
    }),
    (input) => desk.spawn(input),
  )
}

/** See T2. */
function tool<Input>(
  description: string,
  inputSchema: z.ZodType<Input, Input>,
  execute: (input: Input, signal: AbortSignal | undefined) => Promise<DelegateResult>,
): DelegateTool<Input> {
  return {
    description,
    inputSchema,
    async execute(input, { abortSignal } = {}) {
      try {
        const given = inputSchema.safeParse(input)
        if (!given.success) throw new GreenroomError('BAD_OPTIONS', z.prettifyError(given.error))
        return await execute(given.data, abortSignal)
      } catch (error) {
        const code = codeOf(error) ?? 'INTERNAL'
        const message = error instanceof Error ? error.message : String(error)
        return { error: { code, message, retry: isErrorCode(code) ? errors[code].retry : 'never' } }
      }
    },
  }
}

/** Does what the tools are for. See T1 and T3. */
class DelegateDesk {
  readonly #children: Children
  readonly #roles: DelegateRoles
  readonly #waitMs: number
  readonly #clock: Clock
  /** The role of each child that it has seen. */
  readonly #known = new Map<string, string>()

  constructor(children: Children, roles: DelegateRoles, waitMs: number, clock: Clock) {
    this.#children = children
    this.#roles = roles
    this.#waitMs = waitMs
    this.#clock = clock
  }

  async spawn({ role, task, input, key }: SpawnInput): Promise<DelegateResult> {
    const allowed = Object.hasOwn(this.#roles, role) ? this.#roles[role] : undefined
    if (allowed === undefined)
      throw new GreenroomError('UNKNOWN_ROLE', `no role "${role}"; there are: ${Object.keys(this.#roles).join(', ')}`)
    const given = await checkInput(role, allowed, input)
    const ref = await this.#children.spawn({
      role,
      ...(task === undefined ? {} : { task }),
      ...(given === undefined ? {} : { input: given }),
      ...(key === undefined ? {} : { key }),
    })
    this.#known.set(ref.runId, role)
    return { runId: ref.runId, key: ref.key, role }
  }

  async send({ runId, text, mode = 'now' }: SendInput): Promise<DelegateResult> {
    await this.#check([runId])
    return { runId, status: await this.#children.send({ runId }, text, { mode }) }
  }

  async ask({ runId, question, mode = 'query', waitSeconds }: AskInput, signal?: AbortSignal): Promise<DelegateResult> {
    await this.#check([runId])
    const timeoutMs = Math.max(1, Math.min(this.#waitMs, longestAskMs, (waitSeconds ?? Infinity) * 1_000))
    const answer = await this.#children.ask({ runId }, question, { mode, timeoutMs, ...(signal && { signal }) })
    return { runId, answer: shortened(answer) }
  }

  async await({ runIds, mode = 'all', waitSeconds }: AwaitInput, signal?: AbortSignal): Promise<DelegateResult> {
    await this.#check(runIds)
    const refs = [...new Set(runIds)].map((runId) => ({ runId }))
    const waitMs = Math.min(this.#waitMs, (waitSeconds ?? Infinity) * 1_000)
    using late = this.#after(waitMs)
    let ended: readonly ChildOutcome[]
    try {
      const until = signal === undefined ? late.signal : AbortSignal.any([signal, late.signal])
      ended = await this.#children.wait(refs, { mode, signal: until })
    } catch (error) {
      if (!late.signal.aborted || signal?.aborted === true) throw error
      ended = await this.#endedOf(refs)
    }
    const running = refs.map(({ runId }) => runId).filter((id) => !ended.some(({ runId }) => runId === id))
    const shown = ended.map((child) => outcomeOf(child, this.#known.get(child.runId) ?? ''))
    if (running.length === 0) return { ended: shown }
    return { ended: shown, running, note: `${running.length} still running: await again` }
  }

  async cancel({ runId, reason }: CancelInput): Promise<DelegateResult> {
    await this.#check([runId])
    await this.#children.cancel({ runId }, reason)
    return { runId, note: 'it is told to end: await tells how it did' }
  }

  async list(): Promise<DelegateResult> {
    const all = await this.#look()
    const children = all.slice(-maxListed).map(({ runId, key, role, status }) => ({ runId, key, role, status }))
    const more = all.length - children.length
    return more === 0 ? { children } : { children, note: `${more} older ones are not shown` }
  }

  /** @throws GreenroomError `UNKNOWN_RUN` for one that is not there (T1) */
  async #check(runIds: readonly string[]): Promise<void> {
    if (runIds.some((runId) => !this.#known.has(runId))) await this.#look()
    const unknown = runIds.find((runId) => !this.#known.has(runId))
    if (unknown !== undefined)
      throw new GreenroomError('UNKNOWN_RUN', `no child "${unknown}"; list tells which there are`)
  }

  async #look(): Promise<readonly ChildStatus[]> {
    const all = (await this.#children.list()).filter(({ role }) => Object.hasOwn(this.#roles, role))
    for (const { runId, role } of all) this.#known.set(runId, role)
    return all
  }

  /** Those that have ended already. */
  async #endedOf(refs: readonly { readonly runId: string }[]): Promise<readonly ChildOutcome[]> {
    const wanted = new Set(refs.map(({ runId }) => runId))
    const ended = (await this.#look()).filter(({ runId, status }) => status !== 'running' && wanted.has(runId))
    return this.#children.wait(ended)
  }

  /** Aborts after a while. */
  #after(ms: number): Disposable & { readonly signal: AbortSignal } {
    const abort = new AbortController()
    const timer = this.#clock.timer(ms, () => abort.abort())
    return { signal: abort.signal, [Symbol.dispose]: () => timer.cancel() }
  }
}

function outcomeOf({ runId, key, outcome }: ChildOutcome, role: string): DelegateResult {
  const about = { runId, key, role, status: outcome.status }
  switch (outcome.status) {
    case 'completed':
      return { ...about, text: shortened(outcome.text), ...outputOf(outcome.output) }
    case 'failed': {
      const { code, message, retry } = outcome
      return { ...about, code, message: shortened(message), retry }
    }
    case 'cancelled':
      return { ...about, reason: shortened(outcome.reason) }
    case 'timeout':
      return { ...about, which: outcome.which }
    case 'skipped':
      return { ...about, why: shortened(outcome.why) }
  }
}

function outputOf(output: Extract<ChildOutcome['outcome'], { status: 'completed' }>['output']): DelegateResult {
  if (output === null) return {}
  const text = JSON.stringify(output)
  return text.length <= maxShown ? { output } : { outputText: shortened(text) }
}

function shortened(text: string): string {
  return text.length <= maxShown ? text : `${text.slice(0, maxShown)}… (${text.length - maxShown} more characters)`
}
