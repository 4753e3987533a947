/**
 * Asking before something is done that somebody has to allow.
 *
 * - *V1* Nothing is allowed but by a decision of the runner's that says so, on exactly what was asked: its digest is computed
 *   again when it comes.
 * - *V2* What was asked is what an executor may do then: a copy, which nobody changes meanwhile, or what the decider made of it,
 *   which has the same shape.
 * - *V3* Whatever goes wrong denies, and says what it was; only the end of the run throws.
 */
import {
  canonicalJson,
  GreenroomError,
  hasShapeOf,
  jsonFlaw,
  namesFlaw,
  type ApprovalDecision,
  type ApprovalRequest,
  type ApprovalScope,
  type Clock,
  type Decider,
  type JsonValue,
  type Random,
  type RunRef,
} from '@greenroom/proto'
import { createHash } from 'node:crypto'
import { messageOf } from './ending.ts'
import { untilEnd } from './pause.ts'

/** What is to be done. */
export interface ApprovalCall<Input extends JsonValue = JsonValue> {
  /** The tool that is to be called. */
  readonly tool: string
  /** The kind of permission it needs: `read`, `write`, `execute`, `network`, or another word that the deciders know. */
  readonly permission: string
  /** What it acts upon, such as a path: a decision that holds for longer holds for exactly this resource. */
  readonly resource: string
  /** What exactly it is to be called with. */
  readonly input: Input
  /** How long to wait for a decision, in milliseconds; null: for ever. = as the runner says */
  readonly deadlineMs?: number | null
}

/** The answer. */
export type ApprovalAnswer<Input extends JsonValue = JsonValue> =
  | {
      /** It may be done. */
      readonly allowed: true
      /** What exactly may be done: what was asked, or what the decider made of it, with the same members of the same kinds. */
      readonly input: Input
      /** Why, for people. */
      readonly reason: string
      /** Who decided. */
      readonly decider: Decider
      /** How long it holds: the runner answers by it from then on. */
      readonly scope: ApprovalScope
    }
  | {
      /** It may not. */
      readonly allowed: false
      /** The true reason, for people: who was not asked in time has not refused. */
      readonly reason: string
      /** Who decided; `deadline`: nobody in time; `system`: nobody could be asked, or the answer could not be believed. */
      readonly decider: Decider
    }

/** What asking needs of its run. */
export interface ApprovalsOptions {
  readonly ref: RunRef
  readonly clock: Clock
  /** Names requests. */
  readonly random: Random
  /** Aborts at the run's end or cancel. */
  readonly signal: AbortSignal
  /** The number of its last event. */
  readonly lastSeq: () => number
  /** Called when it waits for one decision less. */
  readonly onSettled: () => void
  /** Stores a request in the runner's mailbox. */
  readonly send: (request: ApprovalRequest, signal: AbortSignal) => Promise<unknown>
}

/** The questions of one run. See V1 to V3. */
export class Approvals {
  readonly #options: ApprovalsOptions
  readonly #open = new Map<string, (decision: ApprovalDecision) => void>()

  /** @param options - see {@link ApprovalsOptions} */
  constructor(options: ApprovalsOptions) {
    this.#options = options
  }

  /**
   * Asks, and waits for the decision.
   *
   * @param call - what is to be done
   * @throws GreenroomError `BAD_OPTIONS`; the reason of the run's signal when that ends the waiting
   */
  async ask<Input extends JsonValue>(call: ApprovalCall<Input>): Promise<ApprovalAnswer<Input>> {
    checkCall(call)
    const { ref, clock, random, signal, lastSeq, send } = this.#options
    signal.throwIfAborted()
    const { tool, permission, resource, deadlineMs } = call
    const input = structuredClone(call.input)
    const createdAt = clock.now()
    const request: ApprovalRequest = {
      ...ref,
      requestId: random.id(),
      afterSeq: lastSeq(),
      tool,
      permission,
      resource,
      input,
      digest: inputDigest(input),
      createdAt,
      ...(deadlineMs === undefined ? {} : { deadline: deadlineMs === null ? null : createdAt + deadlineMs }),
    }
    const { promise, resolve } = Promise.withResolvers<ApprovalDecision>()
    this.#open.set(request.requestId, resolve)
    try {
      await untilEnd(signal, send(request, signal))
      return believed(await untilEnd(signal, promise), input)
    } catch (error) {
      signal.throwIfAborted()
      return { allowed: false, reason: `it could not be asked: ${messageOf(error)}`, decider: 'system' }
    } finally {
      this.#open.delete(request.requestId)
      this.#options.onSettled()
    }
  }

  /** Whether it waits for a decision. */
  get isAsking(): boolean {
    return this.#open.size > 0
  }

  /** A decision came. One that nobody waits for is dropped. */
  decided(decision: ApprovalDecision): void {
    this.#open.get(decision.requestId)?.(decision)
  }
}

/** The digest of an input, as requests and decisions name it. */
function inputDigest(input: JsonValue): string {
  return createHash('sha256').update(canonicalJson(input)).digest('hex')
}

/** V1, V2 */
function believed<Input extends JsonValue>(
  { allowed, reason, decider, scope, digest, input: edited }: ApprovalDecision,
  asked: Input,
): ApprovalAnswer<Input> {
  const unsound = (why: string): ApprovalAnswer<Input> => ({ allowed: false, reason: why, decider: 'system' })
  if (!allowed) return { allowed: false, reason, decider }
  const input = edited === undefined ? asked : edited
  if (inputDigest(input) !== digest) return unsound('the decision is about something else than what was asked')
  if (!hasShapeOf(input, asked)) return unsound('the decider made something of another shape of what was asked')
  return { allowed: true, input, reason, decider, scope }
}

function checkCall(call: ApprovalCall): void {
  const bad = (field: string, must: string): GreenroomError =>
    new GreenroomError('BAD_OPTIONS', `approve: ${field} must be ${must}`)
  if (typeof call !== 'object' || call === null) throw bad('its argument', 'an object')
  for (const field of ['tool', 'permission', 'resource'] as const)
    if (typeof call[field] !== 'string' || call[field] === '') throw bad(field, 'a text')
  const { deadlineMs = null } = call
  if (deadlineMs !== null && !(Number.isFinite(deadlineMs) && deadlineMs >= 0))
    throw bad('deadlineMs', 'a number of milliseconds, or null for none')
  const odd = namesFlaw('its argument', call, ['tool', 'permission', 'resource', 'input', 'deadlineMs'])
  const flaw = odd ?? jsonFlaw(call.input, 'input')
  if (flaw !== undefined) throw new GreenroomError('BAD_OPTIONS', `approve: ${flaw}`)
}
