/** The executors of the simulator: they do what the job that they are given says, and tell the checker. */
import type { JsonValue, RunEvent } from '@greenroom/proto'
import {
  defineExecutor,
  type AnswerQuestion,
  type DecideForChildren,
  type Executors,
  type RunContext,
  type RunRequest,
} from '@greenroom/worker'
import type { ApprovalRules } from './approval-rules.ts'
import type { BudgetRules } from './budget-rules.ts'
import type { Checker, Execution } from './checker.ts'
import type { FamilyRules } from './family-rules.ts'
import { Parent } from './parent.ts'
import type { Question } from './questions.ts'
import { answerOf, standInAnswer, type TalkRules } from './talk-rules.ts'
import type { Act, Answering, Job } from './workload.ts'

/** The life that an executor is in: what a killed process would do next does not happen. */
export interface Life {
  readonly address: string
  readonly isOver: () => boolean
}

/** What an executor is asked for. */
type Asked = Pick<RunRequest<JsonValue | undefined>, 'input' | 'task' | 'attempt'>

/** How long one takes that answers late, in milliseconds. */
const lateMs = 3_000

/** What must hold. */
export interface Rules {
  readonly approvals: ApprovalRules | undefined
  readonly family: FamilyRules | undefined
  readonly budgets: BudgetRules | undefined
  readonly talk: TalkRules | undefined
  /** What ancestors say. */
  readonly decideAs: DecideAs | undefined
}

/** Who decides for the descendants of an execution. */
type DecideAs = (execution: Execution, life: Life) => DecideForChildren

/**
 * The executors of one worker.
 *
 * @param jobs - what the index in a run's input means
 * @param life - the worker's
 * @param rules - what must hold of what they ask for, and of their children
 */
export function executorsOf(jobs: readonly Job[], checker: Checker, life: Life, rules: Rules): Executors {
  const run = async ({ input, task, attempt }: Asked, ctx: RunContext) => {
    if (input === undefined) return standIn(task, ctx)
    const job = jobs[Number(input)]
    if (job === undefined) throw new Error(`there is no job ${JSON.stringify(input)}`)
    if (life.isOver()) await forEver()
    const execution = checker.started(job.index, attempt, life.address)
    const { approvals, family, talk, decideAs } = rules
    approvals?.began(execution)
    const parent = family && parentOf(family, rules, execution, ctx, life)
    if (talk !== undefined && job.answers !== undefined) ctx.onAsk(answering(job.answers, ctx, execution, life, talk))
    if (job.decides === true && decideAs !== undefined) ctx.children.onApproval(decideAs(execution, life))
    try {
      const from = (await parent?.resume(job.acts)) ?? 0
      for (const [place, act] of job.acts.entries())
        if (place >= from)
          await perform(act, ctx, execution, { life, rules: approvals, budgets: rules.budgets, parent, place })
      await alive(life)
      return { output: job.index, text: `job ${job.index}` }
    } finally {
      if (!life.isOver()) checker.ended(execution, parent?.isWaiting !== true)
    }
  }
  return {
    solo: defineExecutor({ version: '1', run }),
    shared: defineExecutor({ version: '1', slots: 3, lateBound: ['workspace', 'model'], run }),
    again: defineExecutor({ version: '1', idempotent: true, run }),
    pliant: defineExecutor({ version: '1', suspendable: true, run }),
  }
}

function parentOf(
  rules: FamilyRules,
  { budgets, talk }: Rules,
  execution: Execution,
  ctx: RunContext,
  life: Life,
): Parent {
  rules.began(execution, ctx.signal)
  if (ctx.resumed === undefined) rules.notResumed(execution)
  return new Parent({ ctx, execution, rules, budgets, talk, isOver: life.isOver })
}

/** What one act is done with. */
interface Stage {
  readonly life: Life
  readonly rules: ApprovalRules | undefined
  readonly budgets: BudgetRules | undefined
  readonly parent: Parent | undefined
  readonly place: number
}

async function perform(
  act: Act,
  ctx: RunContext,
  execution: Execution,
  { life, rules, budgets, parent, place }: Stage,
): Promise<void> {
  await alive(life)
  if (typeof act === 'string') return performWord(act, ctx, execution)
  if ('ask' in act) return rules === undefined ? undefined : askAll(act.ask, ctx, execution, life, rules)
  if ('family' in act) return parent?.perform(act.family, place)
  if ('waitMs' in act) return wait(ctx, act.waitMs)
  if ('spend' in act) return spend(act.spend, ctx, execution, life, budgets)
  if (act.failAttempt === execution.epoch) ctx.fail('SIMULATED', 'as the job says', { retry: act.retry })
}

async function performWord(act: Extract<Act, string>, ctx: RunContext, execution: Execution): Promise<void> {
  const tell = (event: (tag: string) => RunEvent): Promise<void> => ctx.emit(event(execution.tag()))
  switch (act) {
    case 'message':
      return tell((tag) => ({ type: 'message', message: { role: 'assistant', content: tag } }))
    case 'data':
      return tell((tag) => ({ type: 'data', name: tag, data: null }))
    case 'tool':
      await tell((tag) => ({ type: 'tool-call', id: tag, tool: 'simulated' }))
      return tell((tag) => ({ type: 'tool-result', id: tag }))
    case 'delta':
      return ctx.emit({ type: 'text-delta', text: 'delta' })
    case 'hang':
      return wait(ctx, Infinity)
    case 'deaf':
      return forEver()
  }
}

/** Answers what the run is asked. */
function answering(
  how: Answering,
  ctx: RunContext,
  execution: Execution,
  life: Life,
  rules: TalkRules,
): AnswerQuestion {
  return async (question, { signal }) => {
    await alive(life)
    rules.put(execution, question)
    if (how === 'fails') throw new Error('it has no answer')
    if (how === 'never') await wait({ ...ctx, signal }, Infinity)
    if (how === 'late') await wait({ ...ctx, signal }, lateMs)
    return answerOf(execution, question)
  }
}

/** Answers in the stead of a run that has ended. */
async function standIn(task: string, ctx: RunContext): Promise<{ readonly text: string }> {
  if (task.length % 2 === 0) await wait(ctx, lateMs)
  return { text: standInAnswer(task) }
}

async function spend(
  tokens: number,
  ctx: RunContext,
  execution: Execution,
  life: Life,
  rules: BudgetRules | undefined,
): Promise<void> {
  rules?.spends(execution, tokens)
  await ctx.spend({ outputTokens: tokens })
  // Of what is told in the grace after its cancel nobody waits for the count.
  if (!life.isOver() && !ctx.signal.aborted) rules?.spent(execution, tokens)
}

/** Asks for several things at a time. */
async function askAll(
  questions: readonly Question[],
  ctx: RunContext,
  execution: Execution,
  life: Life,
  rules: ApprovalRules,
): Promise<void> {
  const answers = questions.map(async (question) => {
    const { tool, permission, resource, deadlineMs } = question
    const asked = rules.asks(execution, question)
    const { input } = asked
    try {
      const call = { tool, permission, resource, input, ...(deadlineMs === undefined ? {} : { deadlineMs }) }
      const answer = await ctx.approve(call)
      if (!life.isOver()) rules.answered(asked, answer)
    } finally {
      if (!life.isOver()) rules.left(asked)
    }
  })
  for (const answer of answers) answer.catch(() => undefined)
  await Promise.all(answers.filter((_, index) => questions[index]?.isAwaited))
}

function forEver(): Promise<never> {
  return new Promise(() => undefined)
}

async function alive({ isOver }: Life): Promise<void> {
  if (isOver()) await forEver()
}

/** @throws the signal's reason */
async function wait({ signal, clock }: RunContext, ms: number): Promise<void> {
  signal.throwIfAborted()
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const onAbort = (): void => reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  const timer = ms === Infinity ? undefined : clock.timer(ms, resolve)
  try {
    await promise
  } finally {
    timer?.cancel()
    signal.removeEventListener('abort', onAbort)
  }
}

/** The tag of an entry that an executor here told; undefined for all others. */
export function tagOf(event: { readonly type: string; readonly [key: string]: unknown }): string | undefined {
  if (event.type === 'data') return textOf(event['name'])
  if (event.type === 'tool-call' || event.type === 'tool-result') return textOf(event['id'])
  if (event.type !== 'message') return undefined
  const { message } = event
  if (typeof message !== 'object' || message === null || !('content' in message) || !('role' in message))
    return undefined
  return message.role === 'assistant' ? textOf(message.content) : undefined
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}
