/**
 * The survey: deals the files out to surveyors, follows them while they count, and adds up what they found.
 *
 * A surveyor that fails has streamed a part of its findings: they stay in the result, which is partial then.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import {
  createRunner,
  workerEntry,
  type Logger,
  type Outcome,
  type ReadEvent,
  type Run,
  type RunStatus,
} from 'greenroom'
import { shareOut } from './share.ts'
import { finding, merge, nothing, totalOf, type Finding, type Sum } from './tally.ts'
import type { Tree } from './tree.ts'
import type { executors } from './worker.ts'

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
  /** Where it stands. */
  status(): RunStatus
  /** Why its findings are not complete, once it has ended so. */
  problem?: string
}

/** What a survey is told. */
export interface SurveyOptions {
  readonly root: string
  readonly tree: Tree
  /** How many surveyors work at a time. */
  readonly children: number
  /** How many times the tree is surveyed. */
  readonly repeat: number
  /** Cancels the surveyors. */
  readonly signal: AbortSignal
  readonly logger: Logger
  /** Called when a surveyor starts, tells something, or has ended. */
  readonly onChange: (child: Child) => void
}

type Surveyor = Run<Sum>

/**
 * Surveys a tree, as often as asked for. From the second pass on the surveyors find their workers warm.
 *
 * @returns the surveyors' runs with what each found
 * @throws GreenroomError what {@link createRunner} throws
 */
export async function survey({ root, tree, children, repeat, signal, ...hooks }: SurveyOptions): Promise<Child[]> {
  await using stack = new AsyncDisposableStack()
  const dataDir = stack.use(temporaryFolder()).path
  const runner = await createRunner({
    // `.ts` from the sources, `.js` when built.
    worker: workerEntry<typeof executors>(new URL(`./worker${extname(import.meta.filename)}`, import.meta.url)),
    roles: { surveyor: { executor: 'surveyor', workspace: root } },
    dataDir,
    logger: hooks.logger,
    admission: { maxExecuting: children, maxProcesses: 2 * children },
    pool: { maxIdle: children, maxIdlePerKey: children },
  })
  stack.use(runner)

  const shares = shareOut(tree.files, children)
  const all: Child[] = []
  const work = async (pass: number, waiting: Iterable<[number, (typeof shares)[number]]>): Promise<void> => {
    for (const [at, files] of waiting) {
      if (signal.aborted) return
      const run = runner.run({ role: 'surveyor', task: 'Count these files', input: { root, files }, signal })
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
      await follow(child, run, hooks.onChange)
    }
  }
  for (let pass = 1; pass <= repeat; pass += 1) {
    const waiting = shares.entries()
    await Promise.all(Array.from({ length: children }, () => work(pass, waiting)))
  }
  return all
}

/**
 * A folder for the survey's own data, which goes with it, also when the program is told not to wait. Made after the tree
 * was listed, and outside of it as a rule: a survey never counts its own data.
 */
function temporaryFolder(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), 'greenroom-survey-'))
  const remove = (): void => rmSync(path, { recursive: true, force: true, maxRetries: 3 })
  process.once('exit', remove)
  return {
    path,
    [Symbol.dispose]() {
      process.off('exit', remove)
      remove()
    },
  }
}

/** Reads a run to its end. */
async function follow(child: Child, run: Surveyor, onChange: (child: Child) => void): Promise<void> {
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

function note(child: Child, event: ReadEvent): void {
  if (event.type === 'progress') child.done = event.done
  if (event.type !== 'data' || event.name !== 'finding') return
  const parsed = finding.safeParse(event.data)
  if (parsed.success) child.finding = merge([child.finding, parsed.data])
}

/** Why a surveyor's findings are not complete; undefined when they are. */
function problemOf(outcome: Outcome<Sum>, found: Finding): string | undefined {
  switch (outcome.status) {
    case 'completed': {
      const [was, is] = [JSON.stringify(outcome.output), JSON.stringify(totalOf(found))]
      return was === is ? undefined : `it counted ${was}, but ${is} arrived`
    }
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
