/**
 * The survey: deals the files out to surveyors, follows them while they count, and adds up what they found. Beside them a
 * historian tells the folder's past, when somebody allows it.
 *
 * - *V1* A surveyor that fails has streamed a part of its findings: they stay in the result, which is partial then.
 * - *V2* A place that cannot be opened is said to be so, and its surveyor works here.
 */
import type { ApprovalOptions, ApprovalRecord, Logger, Outcome, RunStatus } from 'greenroom'
import { endOf, follow, inOrder, type Child } from './child.ts'
import type { History } from './history.ts'
import { ownFolder } from './own-folder.ts'
import { placeOf, Places, type StartSurveyor } from './places.ts'
import { shareOut } from './share.ts'
import type { Tree } from './tree.ts'

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
  /** How many generations of surveyors there are: the one with the largest share splits it when there may be two. */
  readonly depth: number
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
  const { tree, children, depth, repeat, signal, onChange } = options
  const shares = [...shareOut(tree.files, children).entries()]
  const families: (readonly Child[])[] = []
  let started = 0
  /** One after the other: the share of its own, which it has in every pass, and of those that are nobody's. */
  const work = async (pass: number, own: number, others: Iterable<Share>): Promise<void> => {
    const start = await starter(places, own, options)
    for (const [at, files] of inTurn(shares[own], others)) {
      if (signal.aborted) return
      started += 1
      const beginning = { name: String(started), pass, share: String(at + 1), listed: files.length }
      const run = start(files, at === LARGEST ? depth : 1)
      families.push(await follow(beginning, run, { attach: (runId) => places.attach(runId), onChange }))
    }
  }
  for (let pass = 1; pass <= repeat; pass += 1) {
    const others = shares.slice(children).values()
    const surveyors = Math.min(children, shares.length)
    await Promise.all(Array.from({ length: surveyors }, (_, own) => work(pass, own, others)))
  }
  return families.flat().sort(inOrder)
}

/** Which share is split, of all that are dealt: it is counted here, as are its parts. */
const LARGEST = 0

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

/** Why the historian told nothing; undefined when it did, or was not allowed to. */
export function failureOf({ outcome }: Historian): string | undefined {
  const isDenied = outcome.status === 'failed' && outcome.code === 'DENIED'
  return outcome.status === 'completed' || isDenied ? undefined : endOf(outcome)
}
