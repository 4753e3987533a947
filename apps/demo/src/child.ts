/**
 * A child: a surveyor's run, followed to its end, and with it the surveyors that it starts.
 *
 * - *C1* What it streams is its own findings; those of its children are theirs. So whoever is lost takes no more along than what it had
 *   not said yet.
 */
import type { Outcome, ReadEvent, Run, RunStatus } from 'greenroom'
import { z } from 'zod'
import { finding, merge, nothing, plus, sum, totalOf, type Finding, type Sum } from './tally.ts'

/** One surveyor's run. */
export interface Child {
  /** `1`, `2` and so on, as they were started over all passes; the children of 1 are `1.1` and `1.2`. */
  readonly name: string
  /** Who started it; undefined: the survey. */
  readonly parent?: Child
  /** In which pass over the tree it worked, from 1. */
  readonly pass: number
  /** Which share of the files it was given, as it is named in every pass: the same name is the same files. */
  readonly share: string
  /** How many files it counts itself: those that it gives to children are not among them. */
  listed: number
  /** How many of them it is through with. */
  done: number
  /** What it found so far. */
  finding: Finding
  /** The process that it works in, as far as it is known. */
  pid?: number
  /** Where it stands. */
  status(): RunStatus
  /** What it brought back in the end, its children's included. */
  brought?: Sum
  /** Why its findings are not complete, once it has ended so. */
  problem?: string
}

/** What following needs to know. */
export interface FollowOptions {
  /** Finds the run that a surveyor has started. */
  readonly attach: (runId: string) => Promise<Run>
  /** Called when a surveyor starts, tells something, or has ended. */
  readonly onChange: (child: Child) => void
}

/** What is known of a surveyor when it starts. */
export type Start = Pick<Child, 'name' | 'parent' | 'pass' | 'share' | 'listed'>

/**
 * Follows a surveyor and its descendants until the last has ended.
 *
 * @returns all of them, itself first
 */
export async function follow(start: Start, run: Run<unknown>, options: FollowOptions): Promise<readonly Child[]> {
  const child: Child = { ...start, done: 0, finding: nothing(), status: () => run.status() }
  const families: Promise<readonly Child[]>[] = []
  options.onChange(child)
  let epoch = 0
  for await (const event of run) {
    if (event.epoch > epoch) {
      // Another attempt begins anew.
      epoch = event.epoch
      child.finding = nothing()
    }
    note(child, event)
    const started = startedBy(event)
    if (started !== undefined) families.push(join(child, families.length + 1, started, options))
    options.onChange(child)
  }
  const descendants = await Promise.all(families)
  const outcome = await run.outcome
  if (outcome.status === 'completed') child.brought = sum.parse(outcome.output)
  const own = descendants.flatMap(([first]) => first ?? [])
  const problem = problemOf(outcome, [totalOf(child.finding), ...own.flatMap(({ brought }) => brought ?? [])])
  if (problem !== undefined) child.problem = problem
  options.onChange(child)
  return [child, ...descendants.flat()]
}

/** Follows a surveyor's child. */
async function join(
  parent: Child,
  at: number,
  { runId, files }: Started,
  options: FollowOptions,
): Promise<readonly Child[]> {
  parent.listed -= files
  const [name, share] = [`${parent.name}.${at}`, `${parent.share}.${at}`]
  try {
    const run = await options.attach(runId)
    return await follow({ name, share, parent, pass: parent.pass, listed: files }, run, options)
  } catch {
    // What it found is missing in its parent's sum, which is said then.
    return []
  }
}

/** The process that a surveyor is in: of its own worker the runner knows, of any other the surveyor says it. */
export const pidOf = (child: Child): number | undefined => child.status().worker?.pid ?? child.pid

const byName = new Intl.Collator('en', { numeric: true })

/** Orders surveyors: each before its children, and those before whoever started after it. */
export const inOrder = (a: Child, b: Child): number => byName.compare(a.name, b.name)

/** What stands before a name in a column, so that it is seen whose child it is; empty for one of the survey. */
export const branchOf = ({ name, parent }: Child): string =>
  parent === undefined ? '' : `${'  '.repeat(name.split('.').length - 2)}└ `

const itsProcess = z.object({ pid: z.int() })
const itsChild = z.object({ runId: z.string(), files: z.int() })

type Started = z.infer<typeof itsChild>

function note(child: Child, event: ReadEvent): void {
  if (event.type === 'progress') child.done = event.done
  if (event.type !== 'data') return
  const [found, place] = [finding.safeParse(event.data), itsProcess.safeParse(event.data)]
  if (event.name === 'process' && place.success) child.pid = place.data.pid
  if (event.name === 'finding' && found.success) child.finding = merge([child.finding, found.data])
}

function startedBy(event: ReadEvent): Started | undefined {
  return event.type === 'data' && event.name === 'child' ? itsChild.safeParse(event.data).data : undefined
}

/** Why a surveyor's findings are not complete; undefined when they are. */
function problemOf(outcome: Outcome<unknown>, arrived: readonly Sum[]): string | undefined {
  if (outcome.status !== 'completed') return endOf(outcome)
  const [was, is] = [JSON.stringify(outcome.output), JSON.stringify(arrived.reduce(plus))]
  return was === is ? undefined : `it counted ${was}, but ${is} arrived`
}

/** How a run ended that did not complete, in a line. */
export function endOf(outcome: Exclude<Outcome<unknown>, { status: 'completed' }>): string {
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
