/**
 * The executor: user code that does a run's work, and what it declares about itself.
 *
 * A declared schema is checked where the value comes in: the input before `run` is called, the output before the run
 * ends. What a schema makes of a value (defaults, coercions) is what the other side gets; on the wire it is JSON, and what
 * JSON would change in silence (a Date, NaN, undefined in a list, …) is refused, and so is a result that has other members and
 * none of {@link RunResult}. `INPUT_INVALID` and `OUTPUT_INVALID` name the place: `output.list.0.sha: …`.
 */
import type { JsonValue, LateBound, Limits, McpServer, Message, Posture, Usage } from '@greenroom/proto'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { RunContext } from './context.ts'
import { checkDefinition } from './option-check.ts'

/** A schema of any library that follows Standard Schema, or none. */
export type Schema = StandardSchemaV1 | undefined

/** What a run asks for. */
export interface RunRequest<Input = unknown> {
  /** What to do, typed: what the `input` schema made of it, or the JSON as it came. */
  readonly input: Input
  /** What to do, in words; may be empty. */
  readonly task: string
  /** The session so far, oldest first. */
  readonly messages: readonly Message[]
  /** The folder to work in: an absolute path. */
  readonly workspace: string
  /** The model to use, where the role names one. */
  readonly model: string | undefined
  /** Bounds; an absent one is none, 0 is zero. */
  readonly limits: Limits
  /** 1 for the first attempt; grows with every further one. */
  readonly attempt: number
  /** What may be done without asking. */
  readonly posture: Posture
  /** Tools that must not be offered to a model. */
  readonly disabledTools: readonly string[]
  /** MCP servers to use. */
  readonly mcpServers: readonly McpServer[]
}

/** What comes along with an output. */
export interface RunExtras {
  /** The final words. = '' */
  readonly text?: string
  /**
   * What all of it used. Of each field the greater counts, of this and of what {@link RunContext.spend} was told; more
   * than the run's limits allow ends it as failed. = what was told
   */
  readonly usage?: Usage
}

/** What `run` returns: with an output schema its input type, without one any JSON or nothing at all. */
export type RunResult<Out extends Schema = undefined> = Out extends StandardSchemaV1
  ? RunExtras & {
      /** What the `output` schema takes. */
      readonly output: StandardSchemaV1.InferInput<Out>
    }
  :
      | (RunExtras & {
          /** Any JSON. = null */
          readonly output?: JsonValue
        })
      | void

/** What {@link defineExecutor} takes. */
export interface ExecutorDefinition<In extends Schema = Schema, Out extends Schema = Schema> {
  /** Workers of different versions are never exchanged for each other. */
  readonly version: string
  /** Checks the input. = any JSON */
  readonly input?: In
  /** Checks the output. = any JSON */
  readonly output?: Out
  /** Names of the secrets that {@link RunContext.secret} may be asked for. = none */
  readonly secrets?: readonly string[]
  /** What may differ between runs in one warm worker. = nothing */
  readonly lateBound?: readonly LateBound[]
  /**
   * How many runs one worker may do at the same time; more than one only for cooperative code. A worker of several executors takes
   * the least of theirs. = 1
   */
  readonly slots?: number
  /** Whether a run may be repeated after its worker was lost. = false */
  readonly idempotent?: boolean
  /**
   * Whether an attempt may be ended while it waits in `ctx.children.wait()`, because its process is needed for another run:
   * then `run` is called again, with the children's ends in `ctx.resumed`. Spawn by keys, and look there first.
   * Whatever else `run` does during such a wait is cut off then, also what it does with an answer to `ctx.children.ask()`. = false
   */
  readonly suspendable?: boolean
  /**
   * Does the work. Throwing ends the run as `failed EXECUTOR_ERROR`, or as `cancelled` once `ctx.signal` has aborted;
   * `ctx.fail` ends it as it says.
   */
  run(
    request: RunRequest<In extends StandardSchemaV1 ? StandardSchemaV1.InferOutput<In> : JsonValue | undefined>,
    ctx: RunContext,
  ): Promise<RunResult<Out>>
}

/** An executor: what {@link defineExecutor} made, with every default filled in. */
export interface Executor<Input = unknown, Output = unknown> {
  /** Workers of different versions are never exchanged for each other. */
  readonly version: string
  /** Checks the input, where there is one. */
  readonly input: Schema
  /** Checks the output, where there is one. */
  readonly output: Schema
  /** Names of the secrets it may ask for. */
  readonly secrets: readonly string[]
  /** What may differ between runs in one warm worker. */
  readonly lateBound: readonly LateBound[]
  /** How many runs one worker may do at the same time. */
  readonly slots: number
  /** Whether a run may be repeated after its worker was lost. */
  readonly idempotent: boolean
  /** Whether an attempt may be ended while it waits for children. */
  readonly suspendable: boolean
  /** Called with an input that passed the schema. */
  run(request: RunRequest, ctx: RunContext): Promise<RunResult<Schema>>
  /** Never there: carries the types of what a caller gives and gets. */
  readonly '~types'?: {
    /** What a caller gives. */
    readonly input: Input
    /** What a caller gets. */
    readonly output: Output
  }
}

/** Executors by the name under which roles ask for them. */
export type Executors = Readonly<Record<string, Executor>>

/** What a caller gives a run of this executor. */
export type InferInput<E extends Executor> = NonNullable<E['~types']>['input']

/** What a caller gets from a completed run of this executor. */
export type InferOutput<E extends Executor> = NonNullable<E['~types']>['output']

/**
 * Declares an executor.
 *
 * @param definition - what it is and does
 * @returns the executor, to be named in `serveWorker({ executors })`
 * @throws GreenroomError `BAD_OPTIONS`
 *
 * @example
 * ```ts
 * import { defineExecutor } from '@greenroom/worker'
 *
 * export const shout = defineExecutor({
 *   version: '1',
 *   async run({ task }, ctx) {
 *     for (const word of task.split(' ')) await ctx.emit({ type: 'text-delta', text: `${word.toUpperCase()}! ` })
 *     return { text: task.toUpperCase() }
 *   },
 * })
 * ```
 */
export function defineExecutor<In extends Schema = undefined, Out extends Schema = undefined>(
  definition: ExecutorDefinition<In, Out>,
): Executor<
  In extends StandardSchemaV1 ? StandardSchemaV1.InferInput<In> : JsonValue | undefined,
  Out extends StandardSchemaV1 ? StandardSchemaV1.InferOutput<Out> : JsonValue
> {
  checkDefinition(definition)
  return {
    version: definition.version,
    input: definition.input,
    output: definition.output,
    secrets: definition.secrets ?? [],
    lateBound: definition.lateBound ?? [],
    slots: definition.slots ?? 1,
    idempotent: definition.idempotent ?? false,
    suspendable: definition.suspendable ?? false,
    run: (request: RunRequest<never>, ctx) => definition.run(request, ctx),
  }
}
