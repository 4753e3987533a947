/** What descendants of a run ask, as far as its executor says that it decides on that. */
import {
  encodeMessage,
  GreenroomError,
  isJson,
  type ApprovalAnswer,
  type ApprovalAsk,
  type ApprovalScope,
  type JsonValue,
} from '@greenroom/proto'
import { messageOf } from './ending.ts'

/** What a descendant wants to do. */
export type ChildApproval = Pick<ApprovalAsk, 'from' | 'path' | 'tool' | 'permission' | 'resource'> & {
  /** What exactly it is to be called with. Written by whoever asks: not to be believed, nor run. */
  readonly input: JsonValue
}

/** What an ancestor says; undefined: it does not decide on that, and the next one is asked. */
export type ChildVerdict =
  | {
      /** Whether it may be done. */
      readonly allow: boolean
      /** Why, for people. */
      readonly reason?: string
      /** What it is to be called with instead: the same members of the same kinds. */
      readonly input?: JsonValue
      /** For how much it holds. = `once` */
      readonly scope?: ApprovalScope
    }
  | undefined

/** Decides on what descendants ask; `signal` aborts when the run ends. What it throws denies. */
export type DecideForChildren = (
  approval: ChildApproval,
  options: { readonly signal: AbortSignal },
) => ChildVerdict | Promise<ChildVerdict>

const scopes: readonly unknown[] = [undefined, 'once', 'run', 'session']

/**
 * Has a decider answer.
 *
 * @param decide - the executor's; undefined: it has none
 * @param ask - what is asked
 * @param signal - aborts when the run ends
 * @returns its answer. Never rejects: what is no verdict denies
 */
export async function answerFor(
  decide: DecideForChildren | undefined,
  { runId, epoch, requestId, ...ask }: ApprovalAsk,
  signal: AbortSignal,
): Promise<ApprovalAnswer> {
  const ref = { runId, epoch, requestId }
  if (decide === undefined) return { ...ref, answer: 'pass' }
  try {
    const { from, path, tool, permission, resource, input = null } = ask
    const verdict: unknown = await decide({ from, path, tool, permission, resource, input }, { signal })
    if (verdict === undefined) return { ...ref, answer: 'pass' }
    const answer = { ...ref, ...spoken(verdict) }
    // What no message can carry must not leave whoever asks waiting.
    encodeMessage('approval-answer', answer)
    return answer
  } catch (error) {
    return { ...ref, answer: 'deny', reason: `the ancestor failed: ${messageOf(error)}` }
  }
}

/** @throws GreenroomError `BAD_OPTIONS` when it is no verdict */
function spoken(verdict: unknown): Pick<ApprovalAnswer, 'answer' | 'reason' | 'input' | 'scope'> {
  const { allow, reason, input, scope, ...more }: Partial<Record<keyof NonNullable<ChildVerdict>, unknown>> =
    typeof verdict === 'object' && verdict !== null ? verdict : {}
  const isScope = (value: unknown): value is ApprovalScope | undefined => scopes.includes(value)
  const isText = reason === undefined || typeof reason === 'string'
  const isKnown = Object.keys(more).length === 0
  if (typeof allow !== 'boolean' || !isText || !isKnown || !isScope(scope) || !(input === undefined || isJson(input)))
    throw new GreenroomError('BAD_OPTIONS', 'it gave no verdict')
  return {
    answer: allow ? 'allow' : 'deny',
    ...(reason === undefined ? {} : { reason }),
    ...(input === undefined ? {} : { input }),
    ...(scope === undefined ? {} : { scope }),
  }
}
