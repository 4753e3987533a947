/** Executors out of a script: they do one step after the other, and end with the last. */
import type { JsonValue, Message, Retry, RunEvent, Usage } from '@greenroom/proto'
import { defineExecutor, type AnswerQuestion, type Executor, type RunContext, type RunRequest } from '@greenroom/worker'
import { createGate, type Gate } from './gate.ts'

/** One step of a script. */
export type Step<Output = JsonValue> =
  | {
      /** Tells an event, and waits until there is room for it. */
      readonly emit: RunEvent
    }
  | {
      /** Adds a message to the transcript: the assistant's, when it is only a text. */
      readonly say: string | Message
    }
  | {
      /** Waits: so many milliseconds of the clock, or at a gate. A cancel ends the waiting. */
      readonly wait: number | Gate
    }
  | {
      /** Waits for the next text that is sent to the run; one that is not this, or does not match, fails it. */
      readonly hear: string | RegExp
    }
  | {
      /**
       * From here on it answers what it is asked beside its work (`run.ask`, `children.ask`): with this text, or what the
       * function makes of the question. A step before the first `wait` or `hear` is there in time for every question.
       */
      readonly answer: string | AnswerQuestion
    }
  | {
      /** Asks for a secret. What is asked for in a list of steps is declared by itself. */
      readonly secret: string
      /** What it must be; another value fails the run, without showing either. = any */
      readonly is?: string
    }
  | {
      /** Tells that so much was used. */
      readonly spend: Usage
    }
  | {
      /** Fails with this code. */
      readonly fail: string
      /** For people. = the code */
      readonly message?: string
      /** Whether trying again may help. = 'never' */
      readonly retry?: Retry
    }
  | {
      /** Throws it: the run fails as `EXECUTOR_ERROR`. */
      readonly throw: unknown
    }
  | {
      /** Ends the run with this output. */
      readonly return: Output
      /** The final words. = '' */
      readonly text?: string
      /** What all of it used. = nothing */
      readonly usage?: Usage
    }
  /** From here on it does not hear of a cancel. */
  | 'ignore cancel'
  /** Never comes back, and does not hear of a cancel. */
  | 'block'

/** What a script can be: its steps, or what tells them from what is asked for. */
export type Script<Input, Output> = readonly Step<Output>[] | ((request: RunRequest<Input>) => readonly Step<Output>[])

/** What a scripted executor says of itself. */
export interface ScriptOptions<Input, Output> {
  /** The executor that it stands in for: same version, schemas, secrets, slots and types. = takes and gives any JSON */
  readonly like?: Executor<Input, Output>
  /** Secrets that it may ask for, beside those of `like` and of a list of steps. = none */
  readonly secrets?: readonly string[]
}

/**
 * Makes an executor out of a script.
 *
 * @param script - its steps; or a function that gives them, to answer by input, task or attempt
 * @param options - which executor it stands in for
 *
 * @example
 * ```ts
 * import { createTestRunner, scripted } from 'greenroom/testing'
 *
 * const reviewer = scripted([
 *   { emit: { type: 'text-delta', text: 'Reading …' } },
 *   { hear: /hurry/ },
 *   { say: 'Looks good.' },
 *   { return: { approved: true } },
 * ])
 * await using runner = await createTestRunner({ executors: { reviewer } })
 * const run = runner.run({ role: 'reviewer', task: 'Review it' })
 * await run.send('Please hurry')
 * console.log(await run.outcome) // { status: 'completed', output: { approved: true }, … }
 * ```
 */
export function scripted<Input = JsonValue | undefined, Output = JsonValue>(
  script: Script<NoInfer<Input>, NoInfer<Output>>,
  options: ScriptOptions<Input, Output> = {},
): Executor<Input, Output> {
  const { version, input, output, secrets, lateBound, slots, idempotent, suspendable } = options.like ?? anything
  const steps = typeof script === 'function' ? [] : script
  const asked = steps.flatMap((step) => (typeof step === 'object' && 'secret' in step ? [step.secret] : []))
  return {
    version,
    input,
    output,
    lateBound,
    slots,
    idempotent,
    suspendable,
    secrets: [...new Set([...secrets, ...(options.secrets ?? []), ...asked])],
    run: (request: RunRequest<Input>, ctx) =>
      new Player(ctx).play(typeof script === 'function' ? script(request) : script),
  }
}

/** What a script is when it stands in for nothing. */
const anything: Executor = defineExecutor({ version: 'scripted', run: () => Promise.resolve() })

interface Returned {
  readonly output: unknown
  readonly text: string
  readonly usage?: Usage
}

/** One performance of a script. */
class Player {
  readonly #ctx: RunContext
  readonly #heard: AsyncIterator<{ readonly text: string }>
  /** Undefined once it does not hear of a cancel any more. */
  #signal: AbortSignal | undefined

  constructor(ctx: RunContext) {
    this.#ctx = ctx
    this.#signal = ctx.signal
    this.#heard = ctx.steering[Symbol.asyncIterator]()
  }

  async play(steps: readonly Step<unknown>[]): Promise<Returned | undefined> {
    for (const step of steps) {
      this.#signal?.throwIfAborted()
      if (typeof step === 'object' && 'return' in step) return returned(step)
      await this.#perform(step)
    }
    return undefined
  }

  async #perform(step: Exclude<Step<unknown>, { readonly return: unknown }>): Promise<void> {
    if (step === 'ignore cancel') this.#signal = undefined
    else if (step === 'block') await createGate().pass()
    else if ('emit' in step) await this.#tell(step.emit)
    else if ('say' in step) await this.#tell({ type: 'message', message: messageOf(step.say) })
    else if ('spend' in step) await this.#tell({ type: 'usage', usage: step.spend })
    else if ('wait' in step) await this.#wait(step.wait)
    else if ('hear' in step) await this.#hear(step.hear)
    else if ('answer' in step) {
      const { answer } = step
      this.#ctx.onAsk(typeof answer === 'string' ? () => answer : answer)
    } else if ('secret' in step) this.#ask(step.secret, step.is)
    else if ('fail' in step) {
      const { fail, message = fail, retry = 'never' } = step
      this.#ctx.fail(fail, message, { retry })
    } else throw step.throw
  }

  /** Who does not hear of a cancel goes on when it has no room for an event either. */
  async #tell(event: RunEvent): Promise<void> {
    const told = this.#ctx.emit(event)
    await (this.#signal === undefined ? told.catch(() => undefined) : told)
  }

  async #wait(until: number | Gate): Promise<void> {
    if (typeof until === 'object') return until.pass(this.#signal)
    const time = createGate()
    const timer = this.#ctx.clock.timer(until, () => time.open())
    try {
      await time.pass(this.#signal)
    } finally {
      timer.cancel()
    }
  }

  async #hear(expected: string | RegExp): Promise<void> {
    const next = await this.#heard.next()
    if (next.done === true) {
      this.#signal?.throwIfAborted()
      throw new Error(`the script expected to hear ${expected}, but nothing more can come`)
    }
    const { text } = next.value
    const isIt = typeof expected === 'string' ? text === expected : expected.test(text)
    if (!isIt) throw new Error(`the script expected to hear ${expected}, and heard ${text}`)
  }

  #ask(name: string, expected: string | undefined): void {
    const value = this.#ctx.secret(name)
    if (expected !== undefined && value !== expected)
      throw new Error(`the secret ${name} is not what the script expected`)
  }
}

function messageOf(said: string | Message): Message {
  return typeof said === 'string' ? { role: 'assistant', content: said } : said
}

function returned(step: Extract<Step<unknown>, { readonly return: unknown }>): Returned {
  const { text = '', usage } = step
  return { output: step.return, text, ...(usage === undefined ? {} : { usage }) }
}
