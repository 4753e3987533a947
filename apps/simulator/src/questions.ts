/** What the runs of one schedule ask for, and who may answer: drawn beside the workload, which stays as it was. */
import type { JsonValue, Posture } from '@greenroom/proto'
import type { Chance } from './chance.ts'
import type { Job, Workload } from './workload.ts'

/** Something that an executor asks for. */
export interface Question {
  readonly tool: 'shell' | 'deploy'
  readonly permission: 'read' | 'write' | 'execute'
  readonly resource: '/a' | '/b'
  readonly command: string
  /** As in `ctx.approve`. */
  readonly deadlineMs: number | null | undefined
  /** Whether its executor waits for the answer before it goes on, or ends. */
  readonly isAwaited: boolean
}

/** What is asked with: by its tag one knows the question again. */
export interface Asked {
  readonly [name: string]: JsonValue
  readonly tag: string
  readonly command: string
  readonly args: readonly string[]
}

/** How likely something of each kind is: what a decider makes of a question. */
export type Word = 'allow' | 'edit' | 'misfit' | 'deny' | 'pass' | 'garbage' | 'throw' | 'never'

/** Who decides, in all lives of the runner. */
export interface Deciders {
  readonly hasReviewer: boolean
  readonly onUnavailable: 'person' | 'deny'
  readonly hasPolicy: boolean
  readonly person: 'function' | 'elsewhere' | 'nobody'
  readonly deadlineMs: number | undefined
  readonly postures: Readonly<Record<Job['role'], Posture>>
}

/**
 * Lets jobs ask.
 *
 * @param isAimed - whether surely
 * @returns undefined when nobody asks for anything
 */
export function drawQuestions(chance: Chance, workload: Workload, isAimed: boolean): Workload | undefined {
  const isAsking = chance.happens(0.5) || isAimed
  if (!isAsking) return undefined
  const share = isAimed ? 0.8 : 0.5
  return { ...workload, jobs: workload.jobs.map((job) => (chance.happens(share) ? asking(chance, job) : job)) }
}

/** A job that asks, once or more often, before one of its acts or at its end. */
export function asking(chance: Chance, job: Job): Job {
  const acts = [...job.acts]
  for (let left = chance.between(1, 3); left > 0; left -= 1) {
    const ask = Array.from({ length: chance.one([1, 1, 2, 4]) }, () => drawQuestion(chance))
    acts.splice(chance.below(acts.length + 1), 0, { ask })
  }
  const isCancelled = chance.happens(0.2)
  const cancelAtMs = isCancelled ? job.atMs + chance.below(chance.one([200, 5_000, 40_000])) : undefined
  return { ...job, acts, cancelAtMs: job.cancelAtMs ?? cancelAtMs }
}

function drawQuestion(chance: Chance): Question {
  return {
    tool: chance.one(['shell', 'shell', 'deploy']),
    permission: chance.one(['execute', 'execute', 'write', 'read']),
    resource: chance.one(['/a', '/a', '/b']),
    command: chance.one(['ls -l', 'rm -rf /']),
    deadlineMs: chance.one([undefined, undefined, 0, 1_000, 20_000, null]),
    isAwaited: chance.happens(0.85),
  }
}

/** Draws who decides. */
export function drawDeciders(chance: Chance): Deciders {
  const posture = (): Posture =>
    chance.one<Posture>([{}, {}, {}, {}, { bypass: true }, { readOnly: true }, { unattended: true }])
  return {
    hasReviewer: chance.happens(0.4),
    onUnavailable: chance.one(['person', 'person', 'deny']),
    hasPolicy: chance.happens(0.4),
    person: chance.one(['function', 'function', 'elsewhere', 'elsewhere', 'nobody']),
    deadlineMs: chance.one([undefined, 5_000, 60_000]),
    postures: { solo: posture(), shared: posture(), again: posture(), pliant: {} },
  }
}
