/**
 * Ledgers: files to which processes append what they do, outside of everything that is being tested.
 *
 * A line is one write to a file that is only appended to: whoever is killed has written it or not, and lines of several
 * processes stand in the order in which they were written.
 */
import { appendFileSync, readFileSync } from 'node:fs'
import { z } from 'zod'

/** What a run is to do. */
export const order = z.object({ job: z.string(), entries: z.number(), everyMs: z.number() })
/** What a run is to do. */
export type Order = z.infer<typeof order>

/** What an entry says of itself. */
const said = z.object({ job: z.string(), epoch: z.number(), n: z.number() })

/** An entry, where it was found. */
const entry = z.object({ epoch: z.number(), seq: z.number(), said })
/** An entry, where it was found. */
export type Entry = z.infer<typeof entry>

const saidEvent = z.object({ type: z.literal('data'), epoch: z.number(), seq: z.number(), data: said })

/** The entry that an event of a run is; undefined for an event of another type. */
export function entryOf(event: unknown): Entry | undefined {
  const parsed = saidEvent.safeParse(event)
  if (!parsed.success) return undefined
  const { epoch, seq, data } = parsed.data
  return { epoch, seq, said: data }
}

/** The kinds of runs that there are. */
export const kinds = ['short', 'stream', 'long', 'lasting', 'program', 'again', 'flaky', 'cancelled', 'child'] as const
/** A kind of run. */
export type Kind = (typeof kinds)[number]

/** How a run ended: all of it, since it must not differ. */
const outcome = z.looseObject({
  status: z.string(),
  code: z.string().optional(),
  which: z.string().optional(),
  output: z.unknown(),
  eventsLost: z.object({ first: z.number(), last: z.number() }).optional(),
})
/** How a run ended. */
export type Ended = z.infer<typeof outcome>

const runnerLine = z.discriminatedUnion('t', [
  /** A life of the runner begins. */
  z.object({ t: z.literal('life'), life: z.number(), at: z.number() }),
  /** A job is about to be started, `keyed` with an idempotency key, `detached` from the life of its runner. */
  z.object({
    t: z.literal('asked'),
    job: z.string(),
    kind: z.enum(kinds),
    keyed: z.boolean(),
    detached: z.boolean(),
    order,
  }),
  /** `start` resolved: from here on the run is owed. */
  z.object({ t: z.literal('started'), job: z.string(), run: z.string() }),
  /** A scheduler has it; whether it is recorded is not known yet. */
  z.object({ t: z.literal('queued'), job: z.string(), run: z.string() }),
  /** `start` rejected. */
  z.object({ t: z.literal('refused'), job: z.string(), code: z.string() }),
  /** It is about to be cancelled. */
  z.object({ t: z.literal('cancel'), job: z.string() }),
  /** A reader saw an entry. */
  z.object({ t: z.literal('entry'), job: z.string(), entry }),
  /** Its reader is through, and this is its outcome. */
  z.object({ t: z.literal('outcome'), job: z.string(), outcome }),
  /** Nobody knows it, says a later life. */
  z.object({ t: z.literal('unknown'), job: z.string() }),
  /** A completion handler was called. */
  z.object({ t: z.literal('told'), run: z.string(), outcome }),
  /** The runner said that it could not record this outcome. */
  z.object({ t: z.literal('unrecorded'), run: z.string() }),
  /** The runner closed by itself. */
  z.object({ t: z.literal('closed'), life: z.number() }),
  /** In the end: what the last life found open. */
  z.object({ t: z.literal('left'), runs: z.array(z.string()) }),
  /** In the end: what the last life found of a run. */
  z.object({ t: z.literal('audit'), job: z.string(), outcome: outcome.nullable(), entries: z.array(entry) }),
])
/** A line of a runner's ledger. */
export type RunnerLine = z.infer<typeof runnerLine>

const workLine = z.discriminatedUnion('t', [
  /** An execution begins. */
  z.object({ t: z.literal('begin'), epoch: z.number(), pid: z.number(), stamp: z.string(), at: z.number() }),
  /** It is about to tell its n-th entry. */
  z.object({ t: z.literal('tick'), epoch: z.number(), n: z.number() }),
  /** It is over, by itself. */
  z.object({ t: z.literal('end'), epoch: z.number(), how: z.enum(['done', 'failed', 'aborted']), at: z.number() }),
  /** When it began, an earlier one had not ended, and its process was alive. */
  z.object({ t: z.literal('overlap'), epoch: z.number(), with: z.number() }),
])
/** A line of a job's ledger, by the workers that execute it. */
export type WorkLine = z.infer<typeof workLine>

/** The storm killed or stopped this worker. */
const hitLine = z.object({
  t: z.literal('hit'),
  pid: z.number(),
  stamp: z.string(),
  signal: z.string(),
  at: z.number(),
})
/** A line of the storm's ledger: that it killed or stopped a worker. */
export type HitLine = z.infer<typeof hitLine>

/** Milliseconds of the machine's monotonic clock: the same for all processes. */
export const machineMs = (): number => Number(process.hrtime.bigint() / 1_000n) / 1_000

/**
 * Appends a line.
 *
 * @param file - the ledger
 * @param line - what to say
 */
export function append(file: string, line: RunnerLine | WorkLine | HitLine): void {
  appendFileSync(file, `${JSON.stringify(line)}\n`)
}

function linesOf(file: string): unknown[] {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw error
  }
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line): unknown => JSON.parse(line))
}

/** The lines of a runner's ledger; none when there is no file yet. */
export function readRunnerLedger(file: string): RunnerLine[] {
  return linesOf(file).map((line) => runnerLine.parse(line))
}

/** The lines of a job's ledger; none when there is no file yet. */
export function readWorkLedger(file: string): WorkLine[] {
  return linesOf(file).map((line) => workLine.parse(line))
}

/** The lines of the storm's ledger; none when there is no file yet. */
export function readHits(file: string): HitLine[] {
  return linesOf(file).map((line) => hitLine.parse(line))
}
