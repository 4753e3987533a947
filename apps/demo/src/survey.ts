/**
 * The survey: deals the files out to surveyors, follows them while they count, and adds up what they found. Beside them a
 * historian tells the folder's past, when somebody allows it.
 *
 * - *V1* A surveyor that fails has streamed a part of its findings: they stay in the result, which is partial then.
 * - *V2* A place that cannot be opened is said to be so, and its surveyor works here.
 */
import type { ApprovalOptions, ApprovalRecord, Logger, Outcome, ReadEvent, Run, RunStatus } from 'greenroom'
import { z } from 'zod'
import type { History } from './history.ts'
import { ownFolder } from './own-folder.ts'
import { placeOf, Places, type StartSurveyor } from './places.ts'
import { shareOut } from './share.ts'
import { finding, merge, nothing, totalOf, type Finding, type Sum } from './tally.ts'
import type { Tree } from './tree.ts'

/** One surveyor's run. */
export interface Child {
  /** From 1, in the order in which they were started, over all passes. */
  readonly number: number
  /** In which pass over the tree it worked, from 1. */
  readonly pass: number
  /** Which share of the files it was given, from 1: the same files in every pass. */
  readonly share: number
  /** How many files that are. */
  readonly listed: number
  /** How many files it is through with. */
  done: number
  /** What it found so far. */
  finding: Finding
  /** The process that it works in, as far as it is known. */
  pid?: number
  /** Where it stands. */
  status(): RunStatus
  /** Why its findings are not complete, once it has ended so. */
  problem?: string
}

/** The historian's run, once it has ended. */
export interface Historian {
  readonly status: RunStatus
  readonly outcome: Outcome<History>
  /** What it wanted to do, and what was decided. */
  readonly asked: readonly ApprovalRecord[]
}

/** What a survey came to. */
export interface Surveyed {
  readonly children: readonly Child[]
  readonly historian: Historian
}

/** What a survey is told. */
export interface SurveyOptions {
  readonly root: string
  readonly tree: Tree
  /** How many surveyors work at a time. */
  readonly children: number
  /** How many times the tree is surveyed. */
  readonly repeat: number
  /** Who decides on what the historian asks for. */
  readonly approvals: ApprovalOptions
  /** Cancels all of it. */
  readonly signal: AbortSignal
  readonly logger: Logger
  /** Called when a surveyor starts, tells something, or has ended. */
  readonly onChange: (child: Child) => void
  /** Called when the historian has ended. */
  readonly onHistory: (historian: Historian) => void
}

/**
 * Surveys a tree, as often as asked for. From the second pass on the surveyors find their workers warm.
 *
 * @returns the surveyors' runs with what each found, and the historian's
 * @throws GreenroomError what `createRunner` and `createBroker` throw
 */
export async function survey(options: SurveyOptions): Promise<Surveyed> {
  using folder = ownFolder()
  await using places = await Places.open({ ...options, folder: folder.path })
  const [historian, children] = await Promise.all([tellHistory(places, options), surveyAll(places, options)])
  return { children, historian }
}

async function tellHistory(places: Places, { onHistory }: SurveyOptions): Promise<Historian> {
  const run = places.startHistorian()
  const outcome = await run.outcome
  const historian = { status: run.status(), outcome, asked: places.asked(run.id) }
  onHistory(historian)
  return historian
}

async function surveyAll(places: Places, options: SurveyOptions): Promise<Child[]> {
  const { tree, children, repeat, signal, onChange } = options
  const shares = [...shareOut(tree.files, children).entries()]
  const all: Child[] = []
  /** One after the other: the share of its own, which it has in every pass, and of those that are nobody's. */
  const work = async (pass: number, own: number, others: Iterable<Share>): Promise<void> => {
    const start = await starter(places, own, options)
    for (const [at, files] of inTurn(shares[own], others)) {
      if (signal.aborted) return
      const run = start(files)
      const child: Child = {
        number: all.length + 1,
        pass,
        share: at + 1,
        listed: files.length,
        done: 0,
        finding: nothing(),
        status: () => run.status(),
      }
      all.push(child)
      await follow(child, run, onChange)
    }
  }
  for (let pass = 1; pass <= repeat; pass += 1) {
    const others = shares.slice(children).values()
    const surveyors = Math.min(children, shares.length)
    await Promise.all(Array.from({ length: surveyors }, (_, own) => work(pass, own, others)))
  }
  return all
}

/** Which one, and its files. */
type Share = readonly [at: number, files: readonly string[]]

function* inTurn(own: Share | undefined, others: Iterable<Share>): Generator<Share> {
  if (own !== undefined) yield own
  yield* others
}

/** V2 */
async function starter(places: Places, at: number, { signal, logger }: SurveyOptions): Promise<StartSurveyor> {
  const place = placeOf(at)
  try {
    return await places.at(place)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    if (!signal.aborted) logger.warn(`no ${place} worker, its files are counted here: ${why}`)
    return places.at('local')
  }
}

/** The process that a surveyor is in: of its own worker the runner knows, of any other the surveyor says it. */
export const pidOf = (child: Child): number | undefined => child.status().worker?.pid ?? child.pid

/** Reads a run to its end. */
async function follow(child: Child, run: Run<Sum>, onChange: (child: Child) => void): Promise<void> {
  onChange(child)
  let epoch = 0
  for await (const event of run) {
    if (event.epoch > epoch) {
      // Another attempt begins anew.
      epoch = event.epoch
      child.finding = nothing()
    }
    note(child, event)
    onChange(child)
  }
  const problem = problemOf(await run.outcome, child.finding)
  if (problem !== undefined) child.problem = problem
  onChange(child)
}

const itsProcess = z.object({ pid: z.int() })

function note(child: Child, event: ReadEvent): void {
  if (event.type === 'progress') child.done = event.done
  if (event.type !== 'data') return
  const [found, place] = [finding.safeParse(event.data), itsProcess.safeParse(event.data)]
  if (event.name === 'process' && place.success) child.pid = place.data.pid
  if (event.name === 'finding' && found.success) child.finding = merge([child.finding, found.data])
}

/** Why a surveyor's findings are not complete; undefined when they are. */
function problemOf(outcome: Outcome<Sum>, found: Finding): string | undefined {
  if (outcome.status !== 'completed') return endOf(outcome)
  const [was, is] = [JSON.stringify(outcome.output), JSON.stringify(totalOf(found))]
  return was === is ? undefined : `it counted ${was}, but ${is} arrived`
}

/** Why the historian told nothing; undefined when it did, or was not allowed to. */
export function failureOf({ outcome }: Historian): string | undefined {
  const isDenied = outcome.status === 'failed' && outcome.code === 'DENIED'
  return outcome.status === 'completed' || isDenied ? undefined : endOf(outcome)
}

function endOf(outcome: Exclude<Outcome<unknown>, { status: 'completed' }>): string {
  switch (outcome.status) {
    case 'failed':
      return `${outcome.code}: ${outcome.message}`
    case 'cancelled':
      return `cancelled: ${outcome.reason}`
    case 'timeout':
      return `timeout: ${outcome.which}`
    case 'skipped':
      return `skipped: ${outcome.why}`
  }
}
