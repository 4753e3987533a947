/** What is asked of the runner in one schedule: jobs of random shape, at random times. */
import type { AskMode, Budget } from '@greenroom/proto'
import type { Chance } from './chance.ts'
import type { Question } from './questions.ts'
import type { FamilyAct } from './trees.ts'

/** What the executor of a job does next. */
export type Act =
  | 'message'
  | 'data'
  | 'tool'
  | 'delta'
  | { readonly waitMs: number }
  /** Since approvals are asked for: these, at the same time. */
  | { readonly ask: readonly Question[] }
  /** Since runs have children. */
  | { readonly family: FamilyAct }
  /** Since trees have budgets: so many tokens. */
  | { readonly spend: number }
  | { readonly failAttempt: number; readonly retry: 'never' | 'later' }
  /** Waits until it is cancelled; `deaf`: does not even hear of that. */
  | 'hang'
  | 'deaf'

/** How the executor of a job answers queries. */
export type Answering = 'at once' | 'late' | 'fails' | 'never'

/** A question to a run. */
export interface Inquiry {
  readonly mode: AskMode
  readonly withinMs: number
}

/** One job: a run, or one that a scheduler makes. */
export type Job = {
  readonly index: number
  readonly role: 'solo' | 'shared' | 'again' | 'pliant'
  readonly acts: readonly Act[]
  readonly atMs: number
  readonly cancelAtMs: number | undefined
  readonly steerAtMs: number | undefined
  /** How it is read: not at all, from the start to the end, or left after some events. */
  readonly reader: 'none' | 'all' | 'leaves'
  /** How long its reader takes for an event, in milliseconds. */
  readonly readMs: number
  readonly scheduled: boolean
  /** What the program gives it and its descendants. = nothing is bounded */
  readonly budget?: Budget
  /** How it answers queries. = not at all */
  readonly answers?: Answering
  /** Whether it decides on what its descendants ask for. = no */
  readonly decides?: boolean
  /** What the program asks it, and when. = nothing */
  readonly inquiries?: readonly (Inquiry & { readonly atMs: number })[]
}

/** How much the runner may do at a time, and all jobs. */
export interface Workload {
  readonly maxExecuting: number
  readonly maxProcesses: number
  readonly maxIdle: number
  readonly jobs: readonly Job[]
  /** Those of their children, which follow them by index. = none */
  readonly children?: readonly Job[]
}

/** Draws a workload. */
export function drawWorkload(chance: Chance): Workload {
  const spreadMs = chance.one([0, 2_000, 20_000])
  const count = chance.between(3, 12)
  return {
    maxExecuting: chance.between(1, 5),
    maxProcesses: chance.between(2, 6),
    maxIdle: chance.below(4),
    jobs: Array.from({ length: count }, (_, index) => drawJob(chance, index, spreadMs)),
  }
}

function drawJob(chance: Chance, index: number, spreadMs: number): Job {
  const acts = Array.from({ length: chance.below(10) }, () => drawAct(chance))
  const last = chance.below(14)
  if (last === 0) acts.push('hang')
  if (last === 1) acts.push('deaf')
  const atMs = chance.below(spreadMs + 1)
  const role = chance.one<Job['role']>(['solo', 'shared', 'shared', 'again'])
  const isEndless = last < 2
  const reader = chance.one<Job['reader']>(['none', 'all', 'all', 'leaves'])
  return {
    index,
    role,
    acts,
    atMs,
    cancelAtMs: isEndless || chance.happens(0.2) ? atMs + chance.below(chance.one([2, 200, 20_000])) : undefined,
    steerAtMs: chance.happens(0.15) ? atMs + chance.below(chance.one([10, 5_000])) : undefined,
    reader,
    readMs: chance.one([0, 0, 1, 300]),
    scheduled: chance.happens(0.25),
  }
}

function drawAct(chance: Chance): Act {
  const roll = chance.below(20)
  if (roll < 5) return 'message'
  if (roll < 8) return 'data'
  if (roll < 10) return 'tool'
  if (roll < 14) return 'delta'
  if (roll < 19) return { waitMs: chance.below(chance.one([1, 50, 3_000, 15_000])) }
  return { failAttempt: chance.between(1, 2), retry: chance.one(['never', 'later', 'later']) }
}

/**
 * How a job is asked for: `run` promises nothing before its end, `start` that no crash loses it, `keyed` the same and that it
 * is one run however often it is asked for, `enqueue` makes it a job of a scheduler.
 */
export type How = 'run' | 'start' | 'keyed' | 'enqueue'

/** What belongs to a workload since the runner has more than one life. */
export interface Manner {
  /** By the index of the job. */
  readonly hows: readonly How[]
  /** Whether the role of idempotent work says so itself, or only its executor. */
  readonly declares: boolean
  /** How long the caller's own session store takes, in milliseconds; undefined: transcripts are in the runner's database. */
  readonly sessionsMs: number | undefined
  /** Whether the runner has one more life after all is done, which finds nothing to do. */
  readonly endsTwice: boolean
  /** Jobs that go on without their runner, by index. */
  readonly detached: ReadonlySet<number>
}

/** The same, where most parents stay with their runner: who leaves it has no children. */
export function withParents(manner: Manner, parents: ReadonlySet<number>): Manner {
  const detached = [...manner.detached].filter((index) => !parents.has(index) || index % 4 === 3)
  return { ...manner, detached: new Set(detached) }
}

/** Draws it. */
export function drawManner(chance: Chance, jobs: readonly Job[], canDetach: boolean): Manner {
  return {
    hows: jobs.map(({ scheduled }) => {
      const how = chance.one<How>(['run', 'start', 'start', 'keyed'])
      return scheduled ? 'enqueue' : how
    }),
    declares: chance.happens(0.5),
    sessionsMs: chance.happens(0.3) ? chance.one([0, 1, 500]) : undefined,
    endsTwice: chance.happens(0.2),
    detached: new Set(canDetach ? jobs.flatMap(({ index }) => (chance.happens(0.35) ? [index] : [])) : []),
  }
}

/** As it was in the first generation. */
export function plainManner(jobs: readonly Job[]): Manner {
  return {
    hows: jobs.map(({ scheduled }) => (scheduled ? 'enqueue' : 'run')),
    declares: false,
    sessionsMs: undefined,
    endsTwice: false,
    detached: new Set(),
  }
}
