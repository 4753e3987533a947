/** The suite that every executor passes: on `node:assert`, bound to no test runner, over the real worker loop. */
import assert from 'node:assert/strict'
import { jsonFlaw, parseEvent, systemClock, type JsonValue, type RunEvent } from '@greenroom/proto'
import type { RunContext } from '../context.ts'
import type { Executor } from '../executor.ts'
import { pause, within } from '../pause.ts'
import { openBench, type Bench } from './bench.ts'
import { expectNoLeftovers } from './leftovers.ts'
import type { DoubleRun, DoubleSpec } from './runner-double.ts'

/** What to give the executor. */
export interface Sample {
  /** = '' */
  readonly task?: string
  /** = none */
  readonly input?: JsonValue
  /** = `/` */
  readonly workspace?: string
}

/** What the suite needs to know of an executor. */
export interface ConformanceOptions {
  /** Work that it completes within a few seconds, emitting some events. */
  readonly sample: Sample
  /** Work that takes it much longer than `cancelGraceMs`. */
  readonly slow: Sample
  /** An input that its schema refuses, where it has one. */
  readonly invalidInput?: JsonValue
  /** Values of its declared secrets; made up by default. */
  readonly secrets?: Readonly<Record<string, string>>
  /** How long it may take to end after a cancel, in milliseconds. = 5,000 */
  readonly cancelGraceMs?: number
}

/** One promise that an executor keeps. */
export interface ConformanceCase {
  /** The promise, as a sentence about the executor. */
  readonly name: string
  /** Rejects with an `AssertionError` when it does not. */
  readonly run: () => Promise<void>
}

/** What an executor may emit at the same time without waiting: a few parallel tools, not a loop. */
const maxParallelEmits = 16

/** How long an answer to a simple question may take, in milliseconds. */
const maxAnswerMs = 5_000

/** An executor under observation. */
interface Watched {
  readonly executor: Executor
  readonly emitted: RunEvent[]
  /** Calls of emit that have not returned. */
  pending: number
  /** Calls that were not waited for when it was done. */
  unawaited: number
  /** Calls after it was done. */
  late: number
  done: boolean
}

/**
 * The cases for an executor: run each and report it under its name.
 *
 * @param executor - what `defineExecutor` made
 * @param options - work for it
 *
 * @example
 * ```ts
 * import { echo } from '@greenroom/worker'
 * import { executorConformance } from '@greenroom/worker/testing'
 *
 * const cases = executorConformance(echo, { sample: { task: 'hello world' }, slow: { task: '__sleep_ms:60000' } })
 * for (const { name, run } of cases) {
 *   await run()
 *   console.log('ok', name)
 * }
 * ```
 */
export function executorConformance(executor: Executor, options: ConformanceOptions): readonly ConformanceCase[] {
  const secrets = options.secrets ?? Object.fromEntries(executor.secrets.map((name) => [name, `value-of-${name}`]))
  const { cancelGraceMs = 5_000 } = options
  const onBench = (check: (bench: Bench, watched: Watched) => Promise<void>, gate?: Promise<void>) => async () => {
    const watched = watch(executor, gate)
    await using bench = await openBench({ it: watched.executor }, { secrets, cancelGraceMs })
    await check(bench, watched)
  }
  const sample: DoubleSpec = { executor: 'it', ...options.sample }
  const slow: DoubleSpec = { executor: 'it', ...options.slow }
  const opened = Promise.withResolvers<void>()
  return [
    { name: 'completes its sample, twice in one worker', run: onBench((bench) => completes(bench, sample)) },
    {
      name: 'tells only events that are JSON and shaped as their type',
      run: onBench((bench, it) => speaks(bench, it, sample)),
    },
    {
      name: 'waits for a slow reader before it goes on or ends',
      run: onBench((bench, it) => waits(bench, it, sample, opened.resolve), opened.promise),
    },
    { name: 'tells nothing once it has ended', run: onBench((bench, it) => fallsSilent(bench, it, sample)) },
    { name: 'ends within the cancel grace, with its programs', run: onBench((bench, it) => obeys(bench, it, slow)) },
    {
      name: 'leaves no timer, socket or program behind when it is done',
      run: () => expectNoLeftovers(onBench(async (bench) => void (await (await bench.run(sample)).terminal))),
    },
    {
      name: 'leaves no timer, socket or program behind when it is cancelled',
      run: () => expectNoLeftovers(onBench(async (bench) => void (await (await cancelled(bench, slow)).terminal))),
    },
    {
      name: 'asks for declared secrets only, and shows none',
      run: onBench((bench) => keepsSecrets(bench, sample, secrets)),
    },
    { name: 'answers what it is asked, or says that it does not', run: onBench((bench) => answers(bench, slow)) },
    ...('invalidInput' in options
      ? [
          {
            name: 'refuses an input that its schema does not allow',
            run: onBench((bench) => refuses(bench, { ...sample, input: options.invalidInput ?? null })),
          },
        ]
      : []),
  ]
}

function watch(executor: Executor, gate: Promise<void> = Promise.resolve()): Watched {
  const watched: Watched = {
    executor: { ...executor, run: (request, ctx) => watchedRun(request, ctx) },
    emitted: [],
    pending: 0,
    unawaited: 0,
    late: 0,
    done: false,
  }
  const emit = (ctx: RunContext, event: RunEvent): Promise<void> => {
    const call = emitted(ctx, event)
    // As with the real one: what nobody waits for crashes nothing.
    call.catch(() => {})
    return call
  }
  const emitted = async (ctx: RunContext, event: RunEvent): Promise<void> => {
    if (watched.done) watched.late += 1
    watched.emitted.push(event)
    watched.pending += 1
    try {
      await gate
      await ctx.emit(event)
    } finally {
      watched.pending -= 1
    }
  }
  const watchedRun: Executor['run'] = async (request, ctx) => {
    watched.done = false
    const mine: RunContext = {
      ...ctx,
      emit: (event) => emit(ctx, event),
      spend: (usage) => emit(ctx, { type: 'usage', usage }),
      message: (message) =>
        emit(ctx, {
          type: 'message',
          message: typeof message === 'string' ? { role: 'assistant', content: message } : message,
        }),
    }
    try {
      return await executor.run(request, mine)
    } finally {
      watched.done = true
      watched.unawaited += watched.pending
    }
  }
  return watched
}

async function completes(bench: Bench, sample: DoubleSpec): Promise<void> {
  for (let round = 1; round <= 2; round += 1) {
    const run = await bench.run(sample)
    const terminal = await run.terminal
    assert.equal(terminal.status, 'completed', `round ${round}: ${terminal.error?.code}: ${terminal.error?.message}`)
  }
}

async function speaks(bench: Bench, { emitted }: Watched, sample: DoubleSpec): Promise<void> {
  const run = await bench.run(sample)
  await run.terminal
  for (const event of emitted) {
    parseEvent({ ...event })
    assert.equal(jsonFlaw(event, `an event of type ${JSON.stringify(event.type)}`), undefined)
  }
  assert.deepEqual(run.events, JSON.parse(JSON.stringify(emitted)))
}

async function waits(bench: Bench, watched: Watched, sample: DoubleSpec, open: () => void): Promise<void> {
  const run = await bench.run(sample)
  await Promise.race([run.terminal, pause(systemClock, 200)])
  const { pending, done } = watched
  open()
  await run.terminal
  assert.ok(pending <= maxParallelEmits, `${pending} events were emitted without waiting for the first`)
  assert.ok(pending === 0 || !done, 'it ended while an event was still waiting')
  assert.equal(watched.unawaited, 0, 'it ended without waiting for its last events')
}

async function fallsSilent(bench: Bench, watched: Watched, sample: DoubleSpec): Promise<void> {
  const run = await bench.run(sample)
  const { lastSeq } = await run.terminal
  await pause(systemClock, 100)
  assert.equal(watched.late, 0, 'it emitted events after it had ended')
  assert.equal(run.events.length, lastSeq)
}

/** A run that was cancelled in the middle of it. */
async function cancelled(bench: Bench, slow: DoubleSpec): Promise<DoubleRun> {
  const run = await bench.run(slow)
  await run.accepted.promise
  await pause(systemClock, 100)
  assert.equal(run.terminals.length, 0, 'the slow sample was over before it could be cancelled')
  await run.cancel('conformance')
  return run
}

async function obeys(bench: Bench, watched: Watched, slow: DoubleSpec): Promise<void> {
  const run = await cancelled(bench, slow)
  const { status, error } = await run.terminal
  assert.ok(watched.done, 'it was still running when its grace was over')
  assert.equal(status, 'cancelled', `${error?.code}: ${error?.message}`)
  await Promise.all(bench.programs.map(({ exited }) => exited))
}

async function keepsSecrets(
  bench: Bench,
  sample: DoubleSpec,
  secrets: Readonly<Record<string, string>>,
): Promise<void> {
  const run = await bench.run(sample)
  const terminal = await run.terminal
  assert.ok(!terminal.error?.code.startsWith('SECRET_'), terminal.error?.message)
  const told = JSON.stringify([run.events, terminal, bench.log])
  for (const [name, value] of Object.entries(secrets)) assert.ok(!told.includes(value), `it told the secret ${name}`)
}

/** Whoever asks waits for it: it must not take as long as the work does. */
async function answers(bench: Bench, slow: DoubleSpec): Promise<void> {
  const run = await bench.run(slow)
  await run.accepted.promise
  const asked = run.ask('How far are you?')
  assert.ok(
    await within(
      systemClock,
      maxAnswerMs,
      asked.then(() => undefined),
    ),
    `no answer within ${maxAnswerMs} ms`,
  )
  const { answer, error } = await asked
  assert.ok(answer !== undefined || error?.code === 'ASK_UNSUPPORTED', `it could not answer: ${error?.message}`)
  await run.cancel('it was asked')
  await run.terminal
}

async function refuses(bench: Bench, sample: DoubleSpec): Promise<void> {
  const run = await bench.run(sample)
  const { error } = await run.terminal
  assert.equal(error?.code, 'INPUT_INVALID')
}
