/** What the runs of one schedule do with children of theirs: drawn beside the workload, which stays as it was. */
import type { Budget, WaitMode } from '@greenroom/proto'
import type { Chance } from './chance.ts'
import type { Act, Inquiry, Job, Workload } from './workload.ts'

/** For which children somebody waits, by the index of their jobs. */
export interface WaitFor {
  readonly children: readonly number[]
  readonly mode: WaitMode
  /** Gives up after so many milliseconds; undefined: never. */
  readonly withinMs?: number | undefined
}

/** What a parent does about its children. */
export type FamilyAct =
  /** Starts them, all at a time; without a key each is another run whenever it is asked for. */
  | {
      readonly do: 'spawn'
      readonly children: readonly number[]
      readonly isKeyed: boolean
      /** What each is given of what its parent may spend. = nothing of its own */
      readonly budget?: Budget
    }
  /** These, at a time. */
  | { readonly do: 'wait'; readonly waits: readonly WaitFor[] }
  | ({ readonly do: 'suspend' } & WaitFor)
  | { readonly do: 'send' | 'cancel'; readonly child: number }
  /** Since runs are asked; without waiting for the answer before it goes on, perhaps. */
  | ({ readonly do: 'ask'; readonly child: number; readonly isAwaited: boolean } & Inquiry)

/** No schedule has more children than that. */
const maxChildren = 14
/** One level more than a runner allows. */
const maxLevels = 5
/** An aimed schedule has no more jobs than that: their children are what counts. */
const aimedJobs = 4

/** Whether it has children. */
export function isParent({ acts }: Job): boolean {
  return acts.some((act) => typeof act === 'object' && 'family' in act)
}

/**
 * Tells children that nobody names, nor one of their ancestors: each is another run whenever it is asked for.
 *
 * @param jobs - all of them
 */
export function unkeyed(jobs: readonly Job[]): (job: number) => boolean {
  const indices = new Set<number>()
  const visit = ({ index, acts }: Job): void => {
    for (const { children, isKeyed } of acts.flatMap(spawnIn))
      for (const child of children) {
        if (!isKeyed || indices.has(index)) indices.add(child)
        const job = jobs[child]
        if (job !== undefined) visit(job)
      }
  }
  for (const job of jobs) visit(job)
  return (job) => indices.has(job)
}

/** What an act starts. */
export function spawnIn(act: Act): readonly Extract<FamilyAct, { readonly do: 'spawn' }>[] {
  return typeof act === 'object' && 'family' in act && act.family.do === 'spawn' ? [act.family] : []
}

/**
 * Lets jobs have children.
 *
 * @param isAimed - whether surely
 * @returns undefined when none has
 */
export function drawTrees(chance: Chance, workload: Workload, isAimed: boolean): Workload | undefined {
  const hasTrees = chance.happens(0.5) || isAimed
  if (!hasTrees) return undefined
  const jobs = isAimed ? workload.jobs.slice(0, aimedJobs) : workload.jobs
  const grove = new Grove(chance, jobs.length)
  const share = isAimed ? 0.9 : 0.4
  const isSmall = isAimed || chance.happens(0.3)
  return {
    ...workload,
    ...(isSmall ? { maxExecuting: chance.one([1, 1, 2, 3]), maxProcesses: chance.one([1, 2, 2, 3, 6]) } : {}),
    jobs: jobs.map((job) => (chance.happens(share) ? grove.parentOf(cancelled(chance, job), 0) : job)),
    children: grove.children,
  }
}

/** Parents are cancelled more often: their children have to end with them. */
function cancelled(chance: Chance, job: Job): Job {
  const isCancelled = chance.happens(0.15)
  const cancelAtMs = isCancelled ? job.atMs + chance.below(chance.one([500, 5_000, 40_000])) : undefined
  const role = chance.happens(0.4) ? 'pliant' : job.role
  return { ...job, role, cancelAtMs: job.cancelAtMs ?? cancelAtMs }
}

class Grove {
  readonly #chance: Chance
  /** In the order of their indices, which follow those of the jobs; a hole: still being drawn. */
  readonly children: Job[] = []
  readonly #first: number
  #reserved = 0

  constructor(chance: Chance, first: number) {
    this.#chance = chance
    this.#first = first
  }

  /** The same job with children, and acts about them among its own. */
  parentOf(job: Job, level: number): Job {
    const chance = this.#chance
    const count = Math.min(level === 0 ? chance.between(1, 4) : chance.between(1, 2), maxChildren - this.#reserved)
    if (count <= 0) return job
    const indices = Array.from({ length: count }, () => this.#child(level + 1))
    const family = [...this.#spawns(indices), ...this.#meetings(indices)]
    const isFailing = chance.happens(0.2)
    const end: Act[] = isFailing ? [{ failAttempt: chance.between(1, 2), retry: chance.one(['never', 'later']) }] : []
    const own = job.acts.filter((act) => act !== 'deaf' && act !== 'hang')
    const last = job.acts.filter((act) => act === 'deaf' || act === 'hang')
    return { ...job, acts: [...this.#mixed(own.slice(0, 5), family), ...end, ...last] }
  }

  #child(level: number): number {
    const chance = this.#chance
    const place = this.#reserved
    this.#reserved += 1
    const acts: Act[] = Array.from({ length: chance.below(4) }, () =>
      chance.one<Act>(['message', 'data', { waitMs: chance.below(chance.one([50, 3_000, 15_000])) }]),
    )
    if (chance.happens(0.12)) acts.push({ failAttempt: 1, retry: chance.one(['never', 'later']) })
    if (chance.happens(0.08)) acts.push('hang')
    const leaf: Job = {
      index: this.#first + place,
      role: chance.one(['solo', 'shared', 'again', 'pliant', 'pliant']),
      acts,
      atMs: 0,
      cancelAtMs: undefined,
      steerAtMs: undefined,
      reader: 'none',
      readMs: 0,
      scheduled: false,
    }
    const hasOwn = level < maxLevels && chance.happens(level > 2 ? 0.7 : 0.45)
    this.children[place] = leaf
    this.children[place] = hasOwn ? this.parentOf(leaf, level) : leaf
    return leaf.index
  }

  /** One after the other, or all at a time. */
  #spawns(indices: readonly number[]): FamilyAct[] {
    const chance = this.#chance
    const isKeyed = chance.happens(0.9)
    if (chance.happens(0.5)) return [{ do: 'spawn', children: indices, isKeyed }]
    return indices.map((index) => ({ do: 'spawn', children: [index], isKeyed }))
  }

  /** What follows; perhaps nothing. */
  #meetings(indices: readonly number[]): FamilyAct[] {
    const chance = this.#chance
    return Array.from({ length: chance.one([0, 1, 1, 1, 2, 3]) }, () => this.#meeting(indices))
  }

  #meeting(indices: readonly number[]): FamilyAct {
    const chance = this.#chance
    const child = chance.oneOf(indices) ?? 0
    const meetings = ['wait', 'wait', 'wait', 'suspend', 'suspend', 'suspend', 'severally', 'send', 'cancel'] as const
    switch (chance.one<(typeof meetings)[number]>(meetings)) {
      case 'wait':
        return { do: 'wait', waits: [this.#waitFor(indices)] }
      case 'suspend':
        return { do: 'suspend', ...this.#waitFor(indices) }
      case 'severally':
        return { do: 'wait', waits: indices.map((one) => this.#waitFor([one])) }
      case 'send':
        return { do: 'send', child }
      case 'cancel':
        return { do: 'cancel', child }
    }
  }

  #waitFor(indices: readonly number[]): WaitFor {
    const chance = this.#chance
    const some = indices.filter(() => chance.happens(0.85))
    const mode = chance.one<WaitMode>(['all', 'all', 'all', 'any', 'first-error'])
    const withinMs = chance.happens(0.1) ? chance.below(8_000) : undefined
    return { children: some.length === 0 ? indices : some, mode, withinMs }
  }

  /** Both, each in its order. */
  #mixed(own: readonly Act[], family: readonly FamilyAct[]): Act[] {
    const acts: Act[] = []
    const [ones, others] = [[...own], [...family]]
    while (ones.length + others.length > 0) {
      const isOwn = this.#chance.below(ones.length + others.length) < ones.length
      const act = isOwn ? ones.shift() : undefined
      const about = isOwn ? undefined : others.shift()
      if (act !== undefined) acts.push(act)
      if (about !== undefined) acts.push({ family: about })
    }
    return acts
  }
}
